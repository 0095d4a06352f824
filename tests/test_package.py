"""Rooms: what may import what, and what an import costs."""

import ast
import re
import runpy
import shutil
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]
# room → those that it may import
ROOMS = {
    "kernels": set(),
    "engine": {"kernels"},
    "export": {"kernels", "engine"},
    "training": {"kernels", "engine", "export"},
    "serve": {"kernels", "engine"},
    "bench": {"kernels", "engine", "export", "training", "serve"},
    "cli": {"kernels", "engine", "export", "training", "serve", "bench"},
}
# file → the room above it that it names, in a string or under ``if __name__ == "__main__"``
UPWARD = {
    "engine/build.py": "cli",  # doors: scripts that are a command
    "export/to_onnx.py": "cli",
    "bench/accuracy.py": "cli",
    "bench/latency.py": "cli",
    "bench/serving/load.py": "cli",  # starts `mfp serve` as a process
    "bench/serving/page.py": "cli",
    "engine/runtimes/pytorch.py": "export",  # load_network("x.pth") needs the checkpoint reader
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


def module_of(path):
    """``bench/datasets/look.py`` → ``mfp.bench.datasets.look``; a package's ``__init__.py`` → the package."""
    parts = ("mfp", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(ROOT / "__init__.py"): ROOT / "__init__.py"} | {
    module_of(path): path for room in ROOMS for path in (ROOT / room).rglob("*.py")
}


def named_modules(module):
    """Modules of this project that a file names: in imports, wherever they stand, and in strings."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) + 1 - node.level]] if node.level else []
            base = ".".join(base + ([node.module] if node.module else []))
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"(?<![\w`~.:])mfp(?:\.\w+)+(?=:|$)", node.value)


ARROWS = {module: {name for name in named_modules(module) if name in MODULES and name != module} for module in MODULES}


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_down(room):
    for module in (name for name in MODULES if name.split(".")[1:2] == [room]):
        path = MODULES[module].relative_to(ROOT).as_posix()
        named = {name.split(".")[1] if "." in name else "mfp" for name in ARROWS[module]}
        assert named - ROOMS[room] - {room} == ({UPWARD[path]} if path in UPWARD else set()), path


def test_modules_named_in_strings_are_arrows():
    assert {f"mfp.cli.{name}" for name in ("export", "serve", "eval_sweep")} <= ARROWS["mfp.cli.main"]
    assert "mfp.export.checkpoint" in ARROWS["mfp.engine.runtimes.pytorch"]
    assert "mfp.engine.session" in ARROWS["mfp.bench.timing.cold_start"]


def test_no_files_import_each_other_in_a_circle():
    try:
        TopologicalSorter(ARROWS).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("room", ["bench", "serve"])
def test_no_folders_of_a_room_import_each_other_in_a_circle(room):
    folders = defaultdict(set)
    for module, names in ARROWS.items():
        here = MODULES[module].relative_to(ROOT).parent.parts[:2]
        if here == (room,):
            continue  # doors, and files at the foot
        for name in names:
            there = MODULES[name].relative_to(ROOT).parent.parts[:2]
            if here[:1] == there[:1] == (room,) and here != there:
                folders[here].add(there)
    assert len(folders) > 3
    try:
        TopologicalSorter(folders).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(map("/".join, error.args[1])))


def test_setup_packs_every_package(monkeypatch):
    found = {}
    monkeypatch.setattr(setuptools, "setup", found.update)
    runpy.run_path(str(ROOT / "setup.py"))
    assert found["packages"] == sorted({module_of(path) for path in MODULES.values() if path.name == "__init__.py"})
    for path in MODULES.values():
        assert (path.parent / "__init__.py").is_file(), path
    checked = re.search("^ROOMS := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[1]
    packed = re.findall("^!([a-z]+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert set(checked.split()) == set(packed) == set(ROOMS)


def test_make_help_lists_every_target():
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    run = subprocess.run(["make", "help"], check=True, capture_output=True, text=True, cwd=ROOT)
    listed = re.findall(r"^make ([a-z-]+) +\S.+$", run.stdout, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert sorted(listed) == sorted(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    assert re.search(r"^[a-z-]+(?=:)", makefile, re.MULTILINE)[0] == "demo"  # the default goal


def test_the_citation_has_the_version():
    found = {}
    exec((ROOT / "engine/version.py").read_text("utf-8"), found)
    assert f"\nversion: {found['__version__']}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def documents():
    """Files that people read: sources and pages, with their paths."""
    suffixes = (".py", ".md", ".hpp", ".cpp", ".h", ".cu", ".yaml", ".js", ".css")
    for folder in (*ROOMS, "docs", "deploy", "examples"):
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in suffixes)
    yield from (path for path in sorted(ROOT.glob("*.md")) if path.name != "CHANGELOG.md")


def test_documents_name_modules_and_files_that_exist():
    rooms = "|".join(ROOMS)
    names = 0
    for path in documents():
        text = path.read_text("utf-8")
        for name in re.findall(rf"(?<![\w.@/-])mfp\.(?:{rooms})(?:\.\w+)*", text):
            parts = name.split(".")
            count = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in MODULES)
            source = MODULES[".".join(parts[:count])].read_text("utf-8")
            assert count == len(parts) or re.search(rf"\b{parts[count]}\b", source), f"{path} names {name}"
            names += 1
        for name in re.findall(rf"(?<![\w./-])(?:{rooms}|tests)(?:/\w+)+\.(?:py|cu|cpp|hpp|h)\b", text):
            assert (ROOT / name).is_file() or (ROOT / "tests" / name).is_file(), f"{path} names {name}"
            names += 1
    assert names > 100


def test_processors_runs_files_that_exist():
    tests = runpy.run_path(str(ROOT / "tests/processors.py"))["TESTS"]
    assert all((ROOT / "tests" / name.partition("::")[0]).is_file() for name in tests)


def run_python(code, *flags):
    return subprocess.run([sys.executable, *flags, "-c", code], check=True, capture_output=True, text=True, cwd="/")


def test_import_loads_nothing_heavy():
    code = "import sys, mfp, mfp.cli.main; print(sorted({m.split('.')[0] for m in sys.modules}))"
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
        "from mfp.cli.main import main\n"
        "sys.exit(main(['export', '--backbone', 'hrnet18']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        done.stderr == "mfp export: exporting needs torch, which is not installed; install it with: pip install torch\n"
    )
