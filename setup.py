"""Packaging. The repository's root is the package ``mfp``: folder ``X/`` is ``mfp.X``."""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
match = re.search(r'^__version__ = "([^"]+)"', (ROOT / "engine/version.py").read_text("utf-8"), re.MULTILINE)
if match is None:
    raise RuntimeError("engine/version.py defines no __version__")
VERSION = match.group(1)

CPU = ["onnxruntime>=1.20"]
OPENVINO = ["openvino>=2025.0"]
RTX = ["tensorrt-rtx>=1.4"]  # builds without a GPU; running needs CuPy as well
CUPY = ["cupy-cuda13x>=13.6"]
PLOTS = ["matplotlib>=3.8"]
EVAL = ["scipy>=1.11"]  # SBD's .mat files
SERVE = [
    "fastapi>=0.120",
    "pillow>=10.1",
    "prometheus-client>=0.20",
    "uvicorn>=0.30",
    "websockets>=14",
]
RAY = ["ray[serve]>=2.60", "redis>=6"]  # 2.60: its router that keeps a session where it is
EXPORT = ["torch>=2.6"]  # compares what it writes in ONNX Runtime: install it with "cpu" or "gpu"


class BuildPackages(build_py):
    """Leaves this script out, which lies in the package's folder without being part of it."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        found = super().find_package_modules(package, package_dir)
        return [entry for entry in found if entry[:2] != ("mfp", "setup")]


setup(
    name="mfp-engine",
    version=VERSION,
    description="MFP click-based interactive segmentation on fast inference engines",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    cmdclass={"build_py": BuildPackages},
    package_dir={"mfp": "."},
    packages=[
        "mfp",
        "mfp.bench",
        "mfp.bench.comparison",
        "mfp.bench.datasets",
        "mfp.bench.evaluation",
        "mfp.bench.kernel_timing",
        "mfp.bench.serving",
        "mfp.bench.timing",
        "mfp.cli",
        "mfp.engine",
        "mfp.engine.image_files",
        "mfp.engine.pipelines",
        "mfp.engine.plans",
        "mfp.engine.runtimes",
        "mfp.engine.terminal",
        "mfp.export",
        "mfp.export.models",
        "mfp.kernels",
        "mfp.serve",
        "mfp.serve.adapters",
        "mfp.serve.cluster",
        "mfp.serve.http",
        "mfp.serve.http.middleware",
        "mfp.serve.sessions",
        "mfp.serve.stores",
        "mfp.serve.triton",
        "mfp.training",
    ],
    package_data={
        "mfp": ["py.typed"],
        "mfp.engine": ["sample.jpg", "networks/*"],
        "mfp.kernels": ["*.cu", "*.h"],
        "mfp.serve": ["page/*"],
    },
    install_requires=[
        "filelock>=3.24",
        "numpy>=1.26",
        "onnx>=1.17",
        "opencv-python-headless>=4.10",
        "pycocotools>=2.0.8",
        "rich>=13",
    ],
    extras_require={
        "cpu": CPU,
        "openvino": OPENVINO,
        # onnxruntime-gpu replaces onnxruntime: install one of the two extras, not both.
        "gpu": ["onnxruntime-gpu[cuda,cudnn]>=1.20", *CUPY, "tensorrt>=10.12"],
        "rtx": [*RTX, *CUPY],
        "export": EXPORT,
        "plots": PLOTS,
        "eval": EVAL,
        "serve": SERVE,
        "ray": [*SERVE, *RAY],
        "dev": [
            *CPU,
            *EVAL,
            *EXPORT,
            *OPENVINO,
            *PLOTS,
            *RAY,
            *RTX,
            *SERVE,
            "axe-playwright-python>=0.1.4",  # says what on the page is not accessible
            "httpx2>=2",
            "hypothesis>=6.100",
            "mypy>=1.13",
            "nuclio-sdk>=0.5",  # calls deploy/cvat as nuclio does
            "nvidia-cuda-nvrtc>=13",  # compiles the kernels in tests, without a GPU
            "playwright>=1.50",  # drives a browser of the system; brings none
            "pytest>=8",
            "pytest-xdist>=3.6",
            "pyyaml>=6",
            "ruff>=0.8",
            "schemathesis>=4",
            "tritonclient>=2.40",  # its configuration message
        ],
        "docs": ["mkdocs-material>=9.6", "mkdocstrings[python]>=1", "ruff>=0.8"],  # the site; ruff breaks signatures
    },
    entry_points={"console_scripts": ["mfp = mfp.cli.main:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
