"""The kernels under ThreadSanitizer, AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import platform
import shutil
import subprocess

import pytest

BARRIER = "__syncthreads();"


OPTIONS = {
    "TSAN_OPTIONS": "halt_on_error=1 exitcode=66 atexit_sleep_ms=0",
    "UBSAN_OPTIONS": "halt_on_error=1 print_stacktrace=1",
}


def run(program, *arguments):
    """Exit code, and all that the program says."""

    def attempt(*command):
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **OPTIONS}, timeout=120)

    done = attempt(program, *arguments)
    if "unexpected memory mapping" in done.stderr and shutil.which("setarch"):
        # newer kernels spread memory over more random addresses than an older ThreadSanitizer can bear
        done = attempt("setarch", platform.machine(), "-R", program, *arguments)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer needs less random addresses: sysctl vm.mmap_rnd_bits=28")
    return done.returncode, done.stdout + done.stderr


def build(host_cuda, kernels, output, *flags):
    source = host_cuda.HERE / "sanitize.cpp"
    try:
        return host_cuda.compile_cpp(source, output, "-O1", "-g", *flags, kernels=kernels)
    except RuntimeError as error:
        if "cannot find" in str(error):  # libtsan, libasan or libubsan
            pytest.skip(f"the compiler lacks its sanitizers' libraries: {error}")
        raise


@pytest.fixture(scope="module")
def numbered(host_cuda, tmp_path_factory):
    """A program under ThreadSanitizer that can leave out any of the kernels' barriers, and where each one stands."""
    folder = tmp_path_factory.mktemp("numbered")
    places = []
    for path in sorted([*host_cuda.KERNELS.glob("*.h"), *host_cuda.KERNELS.glob("*.cu")]):
        lines = path.read_text("utf-8").split("\n")
        for i, line in enumerate(lines):
            if BARRIER in line:
                lines[i] = line.replace(BARRIER, f"barrier_unless_left_out({len(places)});")
                places.append(f"{path.name}:{i + 1}")
        (folder / path.name).write_text("\n".join(lines), "utf-8")
    return build(host_cuda, folder, folder / "sanitize", "-fsanitize=thread"), places


def test_threads_do_not_race(numbered):
    code, output = run(numbered[0])
    assert code == 0, output


def test_every_barrier_is_needed_and_its_absence_is_found(numbered):
    program, places = numbered
    assert len(places) >= 10
    for number, place in enumerate(places):
        code, output = run(program, str(number))
        assert code == 66, f"no data race was found without the barrier at {place}"
        assert "data race" in output


def test_addresses_and_arithmetic(host_cuda, tmp_path):
    flags = "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    code, output = run(build(host_cuda, host_cuda.KERNELS, tmp_path / "sanitize", *flags))
    assert code == 0, output
