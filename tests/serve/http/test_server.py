"""The server process of `mfp serve`: its port, and its warnings."""

import subprocess
import sys


def test_open_to_others_without_a_token_is_warned_of(start_server):
    server = start_server("--host", "0.0.0.0")
    assert "WARNING: whoever reaches 0.0.0.0 can use this server" in server.log
    quiet = start_server("--host", "0.0.0.0", "--token", "a-long-enough-token")
    assert "WARNING" not in quiet.log


def test_a_port_that_is_taken(start_server, tmp_path):
    server = start_server()
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "mfp.cli.main", "serve", "--port", port, "--store"]
    done = subprocess.run([*command, f"sqlite:///{tmp_path}/other.sqlite"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "address already in use" in done.stderr
