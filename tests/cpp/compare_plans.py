"""Python and C++ treat plan files alike: ``python compare_plans.py TOOL FOLDER [NETWORK.onnx …]``.

TOOL is ``plan_tool``. Damaged and foreign files, plans for elsewhere and networks with other tensors get the same
messages; what either side writes the other reads. Of each NETWORK, C++ builds a plan, which says the same of itself as
Python's.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mfp.cli.main import main as mfp
from mfp.engine.contract import Tensor, check_signature
from mfp.engine.errors import MfpError
from mfp.engine.plans import tensorrt_plan
from mfp.engine.plans.builder import build_plan
from mfp.engine.plans.flavour import Complaints, Flavour
from mfp.engine.plans.gpu import Gpu
from mfp.engine.plans.plan_file import MAGIC, read_metadata, read_plan, write_plan

PLAN = bytes(range(128)) * 5
DAMAGES = 400
GOOD = [("image", 3), ("prev_mask", 1), ("modulated_mask", 1), ("clicks", 2)]


class Tool:
    """C++, asked line by line."""

    def __init__(self, path: str) -> None:
        self._process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.asked = 0

    def __call__(self, **request: Any) -> tuple[str, str]:
        """Kind (answer or error) and text."""
        self.asked += 1
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return next(iter(json.loads(self._process.stdout.readline()).items()))


def facts(plan: bytes = PLAN, **changes: Any) -> dict[str, Any]:
    return {"schema": 1, "plan_sha256": hashlib.sha256(plan).hexdigest(), "plan_bytes": len(plan), **changes}


def file_of(metadata: Any, plan: bytes = PLAN, length: int | None = None) -> bytes:
    text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    front = MAGIC + (len(text) if length is None else length).to_bytes(4, "little") + text
    return front + bytes(-len(front) % 64) + plan


def files() -> list[bytes]:
    """Plan files, most of them damaged."""
    whole = file_of(facts(source="my networks/a'b.onnx"))
    texts = [b"[1]", b'"x"', b"1", b"null", b'{"a": ', b'{"a" 1}', b'{"a": 1,,}', b'{"a": tru}', b'{"a": 1e999}', b""]
    texts += [b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", b'{"a": "\\ud800"}']
    texts += [b'{"a": ' + b"[" * levels + b"]" * levels + b"}" for levels in (30, 31, 32)]
    found = [b"", b"ptrt" + bytes(100), b"\x08\x0a\x12network", b"\x89PNG\r\n\x1a\n'\\", MAGIC, MAGIC + b"\0\0\0\0"]
    found += [file_of(text) for text in texts]
    found += [file_of(facts(), length=length) for length in (5000, 2**32 - 1)]
    found += [MAGIC + (5 << 20).to_bytes(4, "little") + bytes(6 << 20), file_of(facts()) + b"x", whole[:-1], whole]
    changes: list[dict[str, Any]] = [{"schema": value} for value in (None, 0, 2, 10**40, True, 1.0, "1", -1)]
    changes += [{"plan_bytes": value} for value in (True, -3, 5, 1.5, 10**30, None)] + [{"plan_sha256": "no"}]
    sources = "a.onnx", "Zoë's.onnx", "\x1b.onnx", "x" * 201, "", 5, "\u202ea", "\ud83d"
    changes += [{"source": value} for value in sources]
    found += [file_of(facts(**{"plan_sha256": "0" * 64, **change})) for change in changes]
    found += [file_of(facts()).replace(b"}\0", b"}\1")]
    generator = random.Random(7)
    for _ in range(DAMAGES):
        at = generator.randrange(len(whole))
        damaged = whole[:at] + bytes([whole[at] ^ generator.randrange(1, 256)]) + whole[at + 1 :]
        found.append(damaged[: generator.choice([at, None, None])])
    return found


def outcome(call: Any, *arguments: Any) -> tuple[str, Any]:
    try:
        return "answer", call(*arguments)
    except MfpError as error:
        return "error", str(error)


def compare(what: Any, here: tuple[str, Any], there: tuple[str, str]) -> None:
    # what a JSON parser says of its syntax is its own
    ours, theirs = (re.sub(r"no JSON object \(.*\)\.", "no JSON object.", str(said[1])) for said in (here, there))
    if (here[0], ours) != (there[0], theirs):
        sys.exit(f"{what}\nPython: {here}\nC++:    {there}")


def compare_files(tool: Tool, folder: Path) -> None:
    path = folder / "a plan.plan"
    for data in files():
        path.write_bytes(data)
        here = outcome(lambda: read_plan(path)[0])
        there = tool(do="read", path=str(path))
        if here[0] == "error" or there[0] == "error":
            compare(data[:300], here, there)
        elif json.loads(there[1]) != here[1]:
            sys.exit(f"Python read {here[1]}, C++ {there[1]}")
    for missing in (folder / "absent.plan", folder):
        compare(missing, outcome(read_plan, missing), tool(do="read", path=str(missing)))
    for flavour in (None, 5, "cuda"):
        write_plan(path, {"flavour": flavour, "source": "a.onnx"}, PLAN)
        compare(flavour, outcome(tensorrt_plan.OpenedPlan, path, 0), tool(do="load", path=str(path)))

    metadata = {"a": ["Zoë", '\U0001f600\x07"\\', 1.5, -0.1, 10**20, None, True, {}], "source": "b.onnx"}
    compare("write", ("answer", ""), tool(do="write", path=str(path), metadata=metadata, plan="plan"))
    if read_plan(path) != ({**metadata, **facts(b"plan")}, b"plan"):
        sys.exit(f"C++ wrote {read_plan(path)}")


def compare_refusals(tool: Tool) -> None:
    """Plans for another version or GPU. TensorRT itself would need one to be asked; what it says is given."""
    here = Gpu("GPU", "8.9", "13.0")
    tensorrt_plan.gpu = lambda index: here
    tensorrt_plan.why_not_on_this_gpu = lambda flavour: ""
    for flavour, version in (("tensorrt", "11.1.0.106"), ("tensorrt-rtx", "1.7.1.116")):
        for built, on, compatible in ((version, "8.9", False), ("10.12.0.36", "9.0", False), (None, None, True)):
            metadata = {
                "source": "a b.onnx",
                "flavour_version": built,
                "built_for": "compute capability 8.6",
                "gpu": on and {"compute_capability": on},
                "options": {"version_compatible": compatible},
            }
            plan = tensorrt_plan.OpenedPlan.__new__(tensorrt_plan.OpenedPlan)
            plan.path, plan.metadata, plan.complaints = Path("x.plan"), metadata, Complaints()
            plan.flavour = Flavour(flavour, SimpleNamespace(__version__=version))
            plan.complaints.hear("error", "magic tag does not match")
            there = tool(
                do="refusal",
                path="x.plan",
                metadata=metadata,
                flavour=flavour,
                version=version,
                capability="8.9",
                trusted=False,
                complaints=str(plan.complaints),
            )
            compare(metadata, ("answer", plan._refusal(0)), there)


def compare_tensors(tool: Tool) -> None:
    """Engines that do not keep the contract."""

    def ask(inputs: list[Any], outputs: list[Any]) -> None:
        tables = [{name: Tensor(shape, is_float) for name, shape, is_float in side} for side in (inputs, outputs)]
        names = "name", "shape", "float32"
        lists = [[dict(zip(names, tensor, strict=True)) for tensor in side] for side in (inputs, outputs)]
        here = outcome(lambda: check_signature("x.plan", *tables))
        there = tool(do="contract", path="x.plan", inputs=lists[0], outputs=lists[1])
        if here[0] == "error" or there[0] == "error":
            compare((inputs, outputs), here, there)

    def tensors(
        names: list[Any] = GOOD, height: Any = 48, width: Any = 64, batch: Any = None, float32: bool = True
    ) -> Any:
        return [(name, [batch, channels, height, width], float32) for name, channels in names]

    logits = tensors([("logits", 1)])
    for inputs in (
        tensors(),
        tensors(height=None, width=None),
        tensors(GOOD[:3]),
        tensors([("input", 3), *GOOD[1:]]),
        tensors([*GOOD, ("more", 1)]),
        tensors([("image", 4), *GOOD[1:]]),
        tensors(batch=2),
        tensors(float32=False),
        tensors(height=None),
        tensors(height=9000),
        [*tensors(GOOD[:3]), *tensors(GOOD[3:], width=65)],
        [("image", [None, 3], True), *tensors(GOOD[1:])],
    ):
        ask(inputs, logits)
    ask(tensors(), tensors([("mask", 1)]))
    ask(tensors(), tensors([("logits", 1)], float32=False))
    ask(tensors(), [])


def compare_builds(tool: Tool, folder: Path, network: Path) -> None:
    here, there = folder / f"{network.stem}_python.plan", folder / f"{network.stem}_cpp.plan"
    compare(network, ("answer", "tensorrt-rtx"), tool(do="build", path=str(network), plan=str(there)))
    build_plan(network, here, flavour="tensorrt-rtx")
    for path in (here, there):
        if tool(do="read", path=str(path))[0] == "error" or mfp(["info", str(path)]):
            sys.exit(f"{path} is not read by both")
    ours, theirs = (read_metadata(path) for path in (here, there))
    for name in ("built", "build_seconds", "plan_sha256", "plan_bytes", "activation_bytes"):  # of this very build
        if type(ours.pop(name)) is not type(theirs.pop(name)):
            sys.exit(f"{name} of {network} is of another kind in C++")
    if ours != theirs:
        sys.exit(f"of {network}\nPython says {ours}\nC++ says    {theirs}")


def main(tool_path: str, folder: Path, networks: list[Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tool = Tool(tool_path)
    compare_files(tool, folder)
    compare_refusals(tool)
    compare_tensors(tool)
    print(f"{tool.asked} plans and networks: the same messages")
    for network in networks:
        compare_builds(tool, folder, network)
        print(f"{network.name}: built alike")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), [Path(path) for path in sys.argv[3:]])
