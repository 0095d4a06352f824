"""`mfp serve`: what it refuses, and what it warns of."""

import subprocess
import sys

import pytest

from mfp.cli.main import run_command
from mfp.engine.errors import OptionError
from mfp.serve.http.server import check_address
from mfp.serve.stores import default_store


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--token", "short"], "expected a token of 8 or more"),
        (["--token", "not allowed here"], "expected a token of 8 or more"),
        (["--store", "mysql://x"], "expected a store like"),
        (["--network", "nothing.onnx"], "no such file: nothing.onnx"),
        (["--network", "lite0", "--network", "lite0"], "lite0 twice"),
    ],
)
def test_what_it_refuses(flags, message, capsys):
    assert run_command("serve", flags) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--workers", "0"], ["--rate", "-1"], ["--keep", "nan"], ["--max-sessions", "1.5"]])
def test_numbers_out_of_range(flags, capsys):
    with pytest.raises(SystemExit):
        run_command("serve", flags)
    assert "expected a" in capsys.readouterr().err


NUMBERS = ("--port", "--workers", "--keep", "--max-sessions", "--memory", "--max-image-pixels", "--max-request-bytes")
NUMBERS += ("--rate", "--replica-cpus", "--replica-gpus", "--replicas")


@pytest.mark.parametrize("value", ["-1", "99999999999999999999999", "9" * 5000, "x", "", "nan", "1e999", "-0.5"])
@pytest.mark.parametrize("option", NUMBERS)
def test_numbers_that_are_none_are_refused_in_words(option, value, capsys):
    with pytest.raises(SystemExit) as ended:
        run_command("serve", [f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: expected a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "99999"], "expected a port from 0 to 65535, got '99999'"),
        (["--port", "65536"], "expected a port from 0 to 65535, got '65536'"),
        (["--trust-proxy", "proxy"], "expected an address, or a network as 10.0.0.0/8, got 'proxy'"),
        (["--trust-proxy", "*"], "expected an address"),
    ],
)
def test_addresses_that_are_none_are_refused_in_words(flags, message, capsys):
    with pytest.raises(SystemExit):
        run_command("serve", flags)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "host",
    ["nonsense.invalid", "a..b", "x" * 70, "[::1]", "999.1.1.1", "-1", "127.0.0.1:80", "größe", "http://localhost"],
)
def test_hosts_that_are_none(host, capsys, tmp_path):
    """… are refused before anything is loaded: this network is not there."""
    flags = [f"--host={host}", "--network", "nothing.onnx", "--token", "a-long-enough-token"]
    with pytest.raises(OptionError, match="expected an address of this machine"):
        check_address(host, 8700)
    assert run_command("serve", [*flags, "--store", f"sqlite:///{tmp_path}/s.sqlite"]) == 2
    assert "expected an address of this machine, for example 127.0.0.1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_machine(capsys):
    assert run_command("serve", ["--host", "203.0.113.1", "--token", "a-long-enough-token"]) == 2
    assert "cannot listen at 203.0.113.1, port 8700: cannot assign requested address" in capsys.readouterr().err


def test_a_missing_extra_is_named_with_its_remedy():
    code = (
        "import sys; sys.modules['fastapi'] = None\n"  # as if it were not installed
        "from mfp.cli.main import main; sys.exit(main(['serve']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'mfp-engine[serve]'" in done.stderr


def test_where_sessions_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_store() == f"sqlite:///{tmp_path}/mfp-engine/sessions.sqlite"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_store() == f"sqlite:///{tmp_path}/.local/share/mfp-engine/sessions.sqlite"
