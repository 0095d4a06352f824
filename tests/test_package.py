"""The house: what may import what, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# room → those that it may import
ROOMS = {
    "kernels": set(),
    "engine": {"kernels"},
    "export": {"kernels", "engine"},
    "serve": {"kernels", "engine"},
    "bench": {"kernels", "engine", "export", "serve"},
}
HEAVY = {
    "torch",
    "tensorrt",
    "tensorrt_rtx",
    "openvino",
    "cupy",
    "onnx",
    "onnxruntime",
    "cv2",
    "rich",
    "pycocotools",
    "matplotlib",
    "scipy",
    "fastapi",
    "pydantic",
    "uvicorn",
    "prometheus_client",
    "PIL",
    "ray",
    "redis",
}


def imported_rooms(path):
    """Rooms that a file imports, relatively or by name."""
    depth = len(path.relative_to(ROOT).parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from [node.module] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("mfp."):
            yield node.module.removeprefix("mfp.")
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("mfp.") for a in node.names if a.name.startswith("mfp."))


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_down(room):
    others = set(ROOMS) - ROOMS[room] - {room}
    for path in (ROOT / room).rglob("*.py"):
        upward = {name.split(".")[0] for name in imported_rooms(path)} & others
        if path.name == "to_onnx.py":
            continue  # a door
        assert not upward, f"{path.relative_to(ROOT)} imports {upward}"


def run_python(code, *flags):
    return subprocess.run([sys.executable, *flags, "-c", code], check=True, capture_output=True, text=True, cwd="/")


def test_import_loads_nothing_heavy():
    code = "import sys, mfp, mfp.engine.cli; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(ast.literal_eval(run_python(code).stdout))
    assert not loaded & (HEAVY | {"numpy"})


def test_the_public_names_are_there_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"  # as if it were not installed
        "import mfp, mfp.engine\n"
        "for name in mfp.__all__: assert getattr(mfp, name) is getattr(mfp.engine, name)\n"
        "assert set(mfp.__all__) <= set(dir(mfp))\n"
        "from mfp.export.models import backbone_names; print(*backbone_names())"
    )
    assert run_python(code).stdout.split() == ["resnet34", "hrnet18", "vit_b", "lite0"]


def test_a_missing_runtime_is_named_with_its_remedy(golden):
    code = (
        "import sys\n"
        "for name in ('torch', 'onnxruntime', 'openvino'): sys.modules[name] = None\n"
        "from mfp.engine.errors import RuntimeMissingError\n"
        "from mfp import load_network\n"
        f"for file in ({str(golden('toy.onnx'))!r}, {str(golden('checkpoint_vit_small.pth'))!r}):\n"
        "    try: load_network(file)\n"
        "    except RuntimeMissingError as error: print(error)\n"
    )
    lines = run_python(code).stdout.splitlines()
    assert [line.split("install it with: ")[1] for line in lines] == [
        "pip install onnxruntime",
        "pip install torch",
    ]


def test_exporting_without_torch_is_one_line():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from mfp.engine.cli import main\n"
        "sys.exit(main(['export', '--backbone', 'hrnet18']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        done.stderr == "mfp export: exporting needs torch, which is not installed; install it with: pip install torch\n"
    )
