"""The kernels' source and the cache of what it compiles to. No GPU is needed."""

import re

import pytest

from mfp.kernels import cubin
from mfp.kernels.device import device_for
from mfp.kernels.driver import driver


def has_driver():
    try:
        return driver().cuInit(0) == 0
    except OSError:
        return False


def test_the_source_is_what_all_cu_includes():
    text = cubin.source()
    assert '#include "' not in text
    assert "#pragma once" not in text
    everything = (cubin.FOLDER / "all.cu").read_text("utf-8")
    kernels = [name for name in cubin.FILES if name.endswith(".cu")]
    assert re.findall(r'#include "([^"]+)"', everything) == kernels
    for name in cubin.FILES:
        for included in re.findall(r'#include "([^"]+)"', (cubin.FOLDER / name).read_text("utf-8")):
            assert cubin.FILES.index(included) < cubin.FILES.index(name)


def test_what_was_compiled_is_kept(tmp_path):
    file = tmp_path / "new" / "mfp.cubin"
    assert cubin._read(file) is None
    assert cubin._write(file, b"code") == b"code"
    assert cubin._read(file) == b"code"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("damage", [lambda stored: stored[:-1], lambda stored: b"", lambda stored: stored[:-1] + b"?"])
def test_what_is_damaged_is_compiled_again(tmp_path, damage):
    file = tmp_path / "mfp.cubin"
    cubin._write(file, b"code")
    file.write_bytes(damage(file.read_bytes()))
    assert cubin._read(file) is None


def test_a_folder_that_cannot_be_written_is_fine(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert cubin._write(tmp_path / "file" / "mfp.cubin", b"code") == b"code"


@pytest.mark.skipif(has_driver(), reason="there is an NVIDIA driver")
def test_without_a_driver_that_is_what_it_says():
    with pytest.raises(RuntimeError, match=r"no NVIDIA driver|does not give GPU 0"):
        device_for(0)
