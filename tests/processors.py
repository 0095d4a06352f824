"""Numeric tests on the processor that the machine has, held to older instruction sets: ``python tests/processors.py``.

Libraries choose their arithmetic by the processor: other vector units sum in another order, fuse other products or take
another square root. What the engine decides must not depend on that. Each configuration is a run of pytest over
:data:`TESTS`; arguments are passed on to it. ONNX Runtime has no such switch.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent

#: Tests that compare numbers of NumPy, PyTorch, OpenCV, OpenVINO, C++: files, or single tests of one.
TESTS = (
    "kernels/test_reference.py",
    "kernels/test_ties.py",
    "kernels/test_resample.py",
    "kernels/test_cuda_modulation.py",
    "kernels/test_cuda_maps.py",
    "engine/test_roi.py",
    "engine/test_session.py",
    "engine/test_gpu_session.py::test_equals_the_session_on_the_host",
    "engine/test_gpu_session.py::test_toy_trajectories_are_the_releases",
    "engine/test_runtimes.py::test_masks_of_the_toy_network",
    "engine/test_runtimes.py::test_a_session_of_a_real_network",
    "engine/test_winograd.py",
    "export/test_models.py",
    "training/test_training.py",
    "bench/evaluation/test_protocol.py",
    "bench/timing/test_baseline.py",
    "bench/comparison/test_compare.py",
    "bench/kernel_timing/test_kernels.py",
)

#: By name: what PyTorch calls the instruction set, NumPy's features that stay, and switches of the other libraries.
#: OpenVINO gives an empty result where oneDNN is held to less than AVX on a processor that has more.
CONFIGURATIONS = {
    "avx2": (
        "avx2",
        {"X86_V3", "AVX2", "FMA3", "F16C", "AVX", "SSE42", "SSE41", "POPCNT", "SSSE3"},  # names of all NumPy 2
        {"ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell", "OPENCV_CPU_DISABLE": "AVX512-SKX"},
    ),
    "oldest": (
        "default",
        set(),
        {
            "ONEDNN_MAX_CPU_ISA": "AVX",
            "OPENBLAS_CORETYPE": "Nehalem",
            "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FP16,AVX",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4",  # logarithm, power and exponential in C
        },
    ),
}

RANKS = {"default": 0, "avx2": 1, "avx512": 2}  # of PyTorch's names; it takes more than the processor has at its word

# Run in each configuration before the tests: what NumPy and PyTorch really use.
STATE = """
import json, torch
from numpy._core import _multiarray_umath as numpy
used = [name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__[name]]
print(json.dumps([torch.backends.cpu.get_cpu_capability().lower(), used]))
"""


def main(arguments: list[str]) -> int:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        print(f"processors: nothing to hold on {platform.machine()}: the switches are those of x86-64")
        return 0
    failed = []
    capability, features = state(os.environ)
    for name, (wanted, kept, switches) in CONFIGURATIONS.items():
        if RANKS.get(capability, 0) <= RANKS[wanted]:
            print(f"\n=== {name}: left out, PyTorch is at {capability} on this processor as it is")
            continue
        # NumPy takes names only that it dispatches on and that this processor has; they differ from version to version.
        disabled = [feature for feature in features if feature not in kept]
        held = {**os.environ, **switches, "ATEN_CPU_CAPABILITY": wanted}
        if disabled:
            held["NPY_DISABLE_CPU_FEATURES"] = " ".join(disabled)
        found = state(held)
        print(f"\n=== {name}: PyTorch {found[0]} (else {capability}), NumPy without {', '.join(disabled) or 'nothing'}")
        if found[0] != wanted or set(found[1]) & set(disabled):
            print(f"processors: expected PyTorch at {wanted}, NumPy without {disabled}; got {found}")
            return 1
        sys.stdout.flush()
        tests = [str(HERE / name) for name in TESTS]
        if subprocess.run([sys.executable, "-m", "pytest", *arguments, *tests], env=held).returncode:
            failed.append(name)
    print(f"\nprocessors: failed held to {', '.join(failed)}" if failed else "\nprocessors: all passed")
    return 1 if failed else 0


def state(environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """What PyTorch calls its instruction set, and the features that NumPy dispatches on and uses."""
    done = subprocess.run([sys.executable, "-c", STATE], env=environment, capture_output=True, text=True, check=True)
    capability, features = json.loads(done.stdout)
    return capability, features


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
