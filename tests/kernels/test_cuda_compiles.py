"""The kernels as compilers for GPUs see them: every architecture, nothing in local memory, registers as recorded."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mfp.kernels import cubin

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "docs" / "registers.md"
ARCHITECTURES = 75, 80, 86, 89, 90, 100, 120
MORE = 4  # registers that a kernel may gain without anybody taking notice
ANEW = f"MFP_RECORD_REGISTERS=1 pytest tests/kernels/{Path(__file__).name}"

HEAD = f"""# Registers of the kernels

Registers a thread, as ptxas counts them; no kernel uses local memory, so nothing spills. The tests fail where a kernel
needs more than {MORE} above this table. Written by `{ANEW}`.

Compiler: """


@pytest.fixture(scope="module")
def compiled(nvrtc):
    """``compiled(architecture)``: name → (registers, bytes of local memory) of every kernel. Each compiled once."""
    done = {}

    def compile_for(architecture):
        if architecture not in done:
            options = *cubin.OPTIONS, f"-arch=sm_{architecture}", "--ptxas-options=-v"
            found = re.findall(
                r"entry function '(\w+)'.*?(\d+) bytes stack frame.*?Used (\d+) registers",
                nvrtc.compile(cubin.source(), *options),
                re.DOTALL,
            )
            done[architecture] = {name: (int(registers), int(stack)) for name, stack, registers in found}
        return done[architecture]

    return compile_for


def recorded():
    """(compiler, name → registers by architecture) of the committed table."""
    text = RECORD.read_text("utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    columns = [int(cell.removeprefix("sm_")) for cell in rows[0][1:]]
    table = {row[0].strip("`"): dict(zip(columns, map(int, row[1:]), strict=True)) for row in rows[2:]}
    return re.search(r"^Compiler: (.+)$", text, re.MULTILINE)[1], table


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_lies_in_local_memory(compiled, architecture):
    kernels = compiled(architecture)
    assert set(kernels) == set(re.findall(r"__global__ void (\w+)", cubin.source()))
    assert {name: stack for name, (_, stack) in kernels.items() if stack} == {}


def test_registers_are_as_recorded(compiled, nvrtc):
    found = {architecture: compiled(architecture) for architecture in ARCHITECTURES}
    if os.environ.get("MFP_RECORD_REGISTERS"):
        lines = ["| kernel | " + " | ".join(f"sm_{a}" for a in found) + " |", "|---" * (len(found) + 1) + "|"]
        for name in re.findall(r"__global__ void (\w+)", cubin.source()):
            lines.append(f"| `{name}` | " + " | ".join(str(found[a][name][0]) for a in found) + " |")
        RECORD.write_text("\n".join([f"{HEAD}NVRTC {nvrtc.version}", "", *lines, ""]), "utf-8")
    compiler, table = recorded()
    if compiler != f"NVRTC {nvrtc.version}":
        pytest.skip(f"recorded with {compiler}, got {nvrtc.version}; constraints.txt has the one that counts")
    for architecture, kernels in found.items():
        for name, (registers, _) in kernels.items():
            before = table.get(name, {}).get(architecture)
            assert before is not None, f"{name} is not in {RECORD.name} for sm_{architecture}; record anew: {ANEW}"
            assert registers <= before + MORE, (
                f"{name} needs {registers} registers on sm_{architecture}, {before} before; if that is as it must be, "
                f"record anew: {ANEW}"
            )


def test_nvcc_takes_the_files_as_they_are(tmp_path):
    """As the C++ engine compiles them: nothing that only NVRTC or CuPy would know, and no warning."""
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc, of the CUDA toolkit")
    command = ["nvcc", "-std=c++17", "-arch=sm_80", "-cubin", "-Werror", "all-warnings", "-o", "all.cubin"]
    done = subprocess.run([*command, str(ROOT / "kernels/all.cu")], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
