"""The latency bench: it measures what it says, and goes on where it was interrupted. Nothing here asserts a time."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mfp import Session  # noqa: E402
from mfp.bench.samples import summary  # noqa: E402
from mfp.bench.timing import cold_start, interleave, record, roofline, terminal, throughput  # noqa: E402
from mfp.bench.timing.cases import REFERENCE, Opened, Run, Sources, all_runs, chosen_runs  # noqa: E402
from mfp.bench.timing.run import LatencyRun  # noqa: E402
from mfp.bench.workload import scripts  # noqa: E402
from mfp.cli.main import main  # noqa: E402
from mfp.engine.errors import ImageError, MfpError, NetworkError, OptionError, RuntimeMissingError  # noqa: E402
from mfp.engine.network import RUNTIMES  # noqa: E402
from mfp.engine.packaged import FOLDER  # noqa: E402

METHOD = (Path(__file__).parents[3] / "docs/method.md").read_text("utf-8")


@pytest.fixture(scope="module")
def finished(golden, tmp_path_factory):
    """A run of a small network in the authors' own kind of file, interrupted after its clicks and resumed.

    Returns the path, the record as it was when it was interrupted, and what the command printed at the end.
    """
    folder = tmp_path_factory.mktemp("latency")
    path, checkpoint = folder / "results" / "run.json", str(golden("checkpoint_vit_small.pth"))
    patch = pytest.MonkeyPatch()
    tell = LatencyRun._tell

    def interrupt(self, what, *pieces):
        tell(self, what, *pieces)
        if "at once" in what:
            raise KeyboardInterrupt

    patch.setattr(LatencyRun, "_tell", interrupt)
    arguments = ["--checkpoint", checkpoint, "--backbone", "vit_b", "--device", "cpu", "--runtime", "onnxruntime"]
    arguments += ["--clicks", "10", "--warmup", "1", "--sessions", "1,2", "--image", "90x120", "--output", str(path)]
    try:
        assert main(["bench", *arguments]) == 130
    finally:
        patch.undo()
    return path, json.loads(path.read_text()), ["bench", "--resume", str(path), "--checkpoint", checkpoint]


@pytest.fixture(scope="module")
def resumed(finished):
    path, _, again = finished
    assert main(again) == 0
    return record.read(path)


def test_what_was_interrupted_goes_on(finished, resumed):
    _, before, _ = finished
    assert not before["finished"]
    assert resumed["finished"]
    assert [run["name"] for run in before["runs"]] == ["authors' way", "onnxruntime"]
    for was, now in zip(before["runs"], resumed["runs"], strict=True):
        assert was["throughput"] == {}
        assert set(now["throughput"]) == {"1", "2"}
        assert {**was, "throughput": {}} == {**now, "throughput": {}}  # no click was taken again


def test_a_record_holds_what_was_measured(resumed):
    assert resumed["settings"]["photograph"] == [90, 120]
    assert resumed["machine"]["cores"] >= 1
    assert resumed["machine"]["gpu"] is None
    network = resumed["networks"]["vit_b"]
    assert network["size"] == [224, 224]
    assert network["weights"].startswith("sha256:")
    assert network["weight_bytes"] > 1e6
    assert resumed["ceilings"]["copy_gb_per_s"] > 0
    for run in resumed["runs"]:
        assert (len(run["first"]), len(run["later"])) == (2, 10)  # of two objects
        for row in (*run["first"], *run["later"]):
            stages = sum(value for name, value in row.items() if name != "total")
            assert 0 < row["network"] < stages < row["total"] * 1.001
        assert all(value > 0 for value in (*run["cold"].values(), *run["throughput"].values()))
        assert run["memory"]["device_bytes"] is None
        assert run["memory"]["process_bytes"] > 1e8
        assert run["stages"] is None
        assert run["agreement"]["iou_mean"] > 0.99
    assert roofline.floor_ms(network, resumed["ceilings"], "fp32") > 0
    assert roofline.floor_ms(network, resumed["ceilings"], "fp16") is None
    reference, other = resumed["runs"]
    assert reference["agreement"] == {"iou_mean": 1, "iou_min": 1}
    assert other["memory"]["process_bytes"] < reference["memory"]["process_bytes"]  # it needs no PyTorch
    assert {"sam2", "segment_anything"} <= set(resumed["left_out"])


def test_a_record_is_shown(resumed, capsys):
    from rich.console import Console

    console = Console(width=200)
    for table in terminal.tables(resumed):
        console.print(table)
    shown = capsys.readouterr().out
    assert "authors' way" in shown
    assert "onnxruntime" in shown
    assert "2 at once" in shown
    for run in resumed["runs"]:
        run["later"] = [{"total": 100.0 + 10 * number} for number in range(9)]
    said = "\n".join(terminal.remarks(resumed))
    assert "drift: vit_b, onnxruntime: the last third of the clicks took 55% longer" in said
    assert "left out: sam2: " in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["machine"].update(processor="another"), "processor was another, is "),
        (lambda r: r["machine"].update(commit="0" * 7), "commit was 0000000"),
        (lambda r: r["settings"].update(checkpoints={}), r"checkpoints vit_b was None, is sha256"),
        (lambda r: r.update(finished=True), "is finished: nothing to resume"),
        (lambda r: r.update(kind="accuracy"), "expected a record of `mfp bench`"),
    ],
)
def test_what_was_measured_otherwise_is_not_resumed(finished, tmp_path, capsys, change, words):
    _, before, again = finished
    other = json.loads(json.dumps(before))
    change(other)
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other))
    capsys.readouterr()
    assert main([*again[:2], str(path), *again[3:]]) == 2
    error = capsys.readouterr().err
    assert re.search(words, error), error
    assert error.count("\n") == 1


def test_other_settings_are_not_resumed(finished, tmp_path, capsys):
    _, before, again = finished
    path = tmp_path / "before.json"
    path.write_text(json.dumps(before))
    assert main([*again[:2], str(path), *again[3:], "--clicks", "11", "--image", "90x121"]) == 2
    error = capsys.readouterr().err
    assert "clicks was 10, is 11; photograph was [90, 120], is [90, 121]" in error
    assert main(["bench", "--backbone", "hrnet18", "--output", str(path)]) == 2
    assert "holds a run that is not finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backbone", "vgg"], "expected one of resnet34, hrnet18, vit_b, lite0"),
        (["--runtime", "dance"], "unknown runtime 'dance'"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--clicks", "0"], "expected --clicks from 1"),
        (["--image", "400"], "expected --image HxW"),
        (["--checkpoint", "none.pth"], "none.pth"),
        (["--resume", "none.json"], "cannot read none.json"),
        (["--peer", "sam"], "expected --peer PACKAGE:MODEL=FILE"),
        (["--peer", "sam2:tiny=none.pt"], "no such file: none.pt"),
        (["--output", "/proc/nowhere/run.json", "--device", "cpu"], "cannot write /proc/nowhere/run.json"),
    ],
)
def test_misuse_is_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_runtime_is_timed_or_named_as_missing():
    for device in ("cpu", "cuda:0"):
        names = [run.name for run in all_runs(device)]
        assert len(set(names)) == len(names)
        runs, left_out = chosen_runs(device)
        assert runs[0] == REFERENCE
        assert {*left_out, *(run.name for run in runs)} == set(names)
        assert {run.runtime for run in all_runs(device)} == set(RUNTIMES)
    assert chosen_runs("cpu", ["authors"])[0] == all_runs("cpu")[:2]
    assert "torch-compile" in [run.name for run in chosen_runs("cpu", compiled=True)[0]]
    with pytest.raises(OptionError, match="unknown runtime"):
        chosen_runs("cpu", ["magic"])


@pytest.fixture
def on_toy(toy):
    return Opened(lambda image: Session(toy, image, size=(48, 64)), toy)


def test_clicks_are_taken_in_turn(on_toy, photograph):
    image = photograph("coffee")[::4, ::4]
    order = []

    class Noting(Session):
        def click(self, x, y, positive=True):
            order.append((self.name, x, y, positive))
            return super().click(x, y, positive)

    def opened(name):
        class Named(Noting):
            pass

        Named.name = name
        return Opened(lambda image: Named(on_toy.network, image, size=(48, 64)))

    names = [REFERENCE.name, "a", "b"]
    objects = scripts(100, 150, 10, seed=0)
    assert [len(clicks) for clicks in objects] == [9, 3]
    told = []
    samples = interleave.clicks_in_turn({n: opened(n) for n in names}, image, objects, 2, lambda: told.append(1))
    assert len(told) == 14
    clicks = [click for clicks in (objects[0][:2], *objects) for click in clicks]
    for number, click in enumerate(clicks):
        taken = order[3 * number : 3 * number + 3]
        assert {entry[1:] for entry in taken} == {(click.x, click.y, click.positive)}
        assert [entry[0] for entry in taken] == names[number % 3 :] + names[: number % 3]
    for found in samples.values():
        assert (len(found.first), len(found.later), len(found.overlaps)) == (2, 10, 12)
        assert found.agreement == {"iou_mean": 1, "iou_min": 1}


def test_sessions_at_once(on_toy, photograph):
    told = []
    found = throughput.measure(on_toy, photograph("coffee")[::4, ::4], (1, 3), 0.25, 0, lambda: told.append(1))
    assert set(found) == {"1", "3"}
    assert all(rate > 0 for rate in found.values())
    assert len(told) == 2


@pytest.fixture
def latency_run(tmp_path):
    """A run on the CPU that has measured nothing yet, with its file."""
    settings = {"backbones": ["lite0"], "runtimes": None, "device": "cpu", "sessions": [1], "clicks": 1}
    path = tmp_path / "run.json"
    found = record.new_record({"gpu": None, "processor": "x", "cores": 1, "versions": {}}, settings)
    run = LatencyRun(found, lambda: record.save(path, found), {}, [], lambda *_: None)
    run._done = run._all = 0
    run._device = "cpu"
    return run, path


@pytest.mark.parametrize(
    ("error", "left_out", "words"),
    [
        (RuntimeMissingError("no such package"), True, "no such package"),
        (OptionError("openvino has no fp16"), True, "openvino has no fp16"),
        (NetworkError("the runtime refused it"), False, "the runtime refused it"),
        (MemoryError(), False, "MemoryError"),
        (
            ImportError("cannot import name 'median' from 'statistics'"),
            False,
            "ImportError: cannot import name",
        ),
    ],
)
def test_only_what_is_not_here_is_left_out(latency_run, monkeypatch, error, left_out, words):
    def open_run(*_):
        raise error

    run, path = latency_run
    monkeypatch.setattr("mfp.bench.timing.run.open_run", open_run)
    openvino = next(run for run in all_runs("cpu") if run.runtime == "openvino")
    assert run._opened(openvino, Sources("lite0", (64, 64), None, path, {"fp32": path})) is None
    kept = record.read(path)
    where, elsewhere = ("left_out", "failed") if left_out else ("failed", "left_out")
    assert words in kept[where]["lite0, openvino"]
    assert kept[elsewhere] == {}
    assert ("Traceback" in kept[where]["lite0, openvino"]) == (not isinstance(error, MfpError))
    said = "\n".join(terminal.remarks({**kept, "machine": {**kept["machine"], "half_precision": []}}))
    assert f"{'left out' if left_out else 'FAILED'}: lite0, openvino: " in said
    with pytest.raises(type(error)):  # everything is held against it
        run._opened(REFERENCE, Sources("lite0", (64, 64), None, path, {"fp32": path}))


def test_a_compiler_that_breaks_is_not_left_out(latency_run, monkeypatch):
    run, path = latency_run
    compiled = next(run for run in all_runs("cpu") if run.name == "torch-compile")
    run._without("lite0", compiled, RuntimeMissingError("torch.compile could not compile"))
    assert list(record.read(path)["failed"]) == [f"lite0, {compiled.name}"]
    monkeypatch.setattr("mfp.bench.timing.cases.has_compiler", lambda: False)
    runs, left_out = chosen_runs("cpu", ["torch-compile"], compiled=True)
    assert runs == [REFERENCE]
    assert "finds no C++ compiler; install" in left_out["torch-compile"]


def test_what_failed_is_kept_and_makes_the_command_fail(tmp_path, monkeypatch, capsys):
    def work(self):
        self.record["failed"]["lite0, openvino"] = "Traceback …\nImportError: no such name"
        self.save()

    monkeypatch.setattr(LatencyRun, "run", work)
    path = tmp_path / "run.json"
    assert main(["bench", "--quick", "--device", "cpu", "--checkpoint", "lite0", "--output", str(path)]) == 2
    out, error = capsys.readouterr()
    assert "ImportError: no such name" in out
    assert "1 of its runs failed" in error
    assert f"mfp bench --resume {path}" in error
    kept = record.read(path)
    assert not kept["finished"]
    assert list(kept["failed"]) == ["lite0, openvino"]
    assert list(kept["settings"]["checkpoints"]) == ["lite0"]


def test_a_cold_start_tells_what_is_not_here_from_what_failed(tmp_path):
    sources = Sources("lite0", (64, 64), None, tmp_path / "none.pth", {"fp32": tmp_path / "none.onnx"})
    runs = {run.name: run for run in all_runs("cpu")}
    with pytest.raises(RuntimeError, match=r"(?s)a fresh process with openvino ended with .*NetworkError") as found:
        cold_start.measure(runs["openvino"], sources, "cpu", (64, 64))
    assert not isinstance(found.value, MfpError)
    with pytest.raises(RuntimeMissingError, match="fp16"):
        cold_start.measure(
            Run("onnxruntime fp16", "engine", "onnxruntime", "fp16"),
            Sources("lite0", (64, 64), None, tmp_path, {"fp16": FOLDER / "lite0.onnx"}),
            "cpu",
            (64, 64),
        )


def test_a_record_of_an_earlier_version_has_no_failures(latency_run):
    run, path = latency_run
    del run.record["failed"]
    run.save()
    assert record.read(path)["failed"] == {}


def test_a_click_that_fails_in_a_thread_is_not_lost(photograph):
    class Failing:
        def __init__(self, clicks):
            self.left = clicks

        def click(self, *_):
            self.left -= 1
            if self.left < 0:
                raise ImageError("the third")

        def reset(self):
            pass

    with pytest.raises(ImageError, match="the third"):
        throughput.measure(Opened(lambda image: Failing(2)), photograph("coffee"), (2,), 1.0, 0, lambda: None)


@pytest.mark.parametrize("backbone", ["hrnet18", "resnet34", pytest.param("vit_b", marks=pytest.mark.slow)])
def test_floors_are_those_of_the_specification(exported, backbone):
    report = exported(backbone)
    name = {"hrnet18": "HRNet-18", "resnet34": "ResNet-34", "vit_b": "ViT-B"}[backbone]
    sentence = re.search(r"^Multiply-adds per image .*$", METHOD, re.MULTILINE)[0]
    multiply_adds = float(re.search(rf"{name} ([\d.]+) G", sentence)[1])
    parameters = dict(zip(["resnet34", "hrnet18", "vit_b"], re.findall(r"([\d.]+) M", sentence), strict=False))
    found = [roofline.count(report.path, report.info.size, batch) for batch in (1, 2)]
    # HRNet's file lacks the attention to its single object, whose softmax is 1 whatever comes in.
    assert found[0]["gflop"] == pytest.approx(2 * multiply_adds, rel=0.015)
    assert found[1]["gflop"] == pytest.approx(2 * found[0]["gflop"], rel=1e-3)
    assert found[0]["weight_bytes"] == pytest.approx(4e6 * float(parameters[backbone]), rel=0.02)
    assert found[1]["weight_bytes"] == found[0]["weight_bytes"]
    assert found[1]["tensor_bytes"] == pytest.approx(2 * found[0]["tensor_bytes"], rel=0.01)


def test_floors_of_each_matrix_operator(tmp_path):
    from onnx import TensorProto, helper, save

    rng = np.random.default_rng(0)

    def weight(name, *shape):
        return helper.make_tensor(name, TensorProto.FLOAT, shape, rng.random(int(np.prod(shape))))

    nodes = [
        helper.make_node("Conv", ["image", "conv"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),  # 3→4 channels, 3×3
        helper.make_node("ConvTranspose", ["a", "deconv"], ["b"], strides=[2, 2]),  # 4→6 channels, 2×2
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "gemm"], ["e"], transB=1),  # 6→5
        helper.make_node("MatMul", ["e", "matmul"], ["logits"]),  # 5→7
    ]
    weights = [weight("conv", 4, 3, 3, 3), weight("deconv", 4, 6, 2, 2), weight("gemm", 5, 6), weight("matmul", 5, 7)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("image", "logits")]
    ends[0] = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)), tmp_path / "g.onnx")
    found = roofline.count(tmp_path / "g.onnx", (8, 16), batch=2)
    conv, deconv = 4 * 8 * 4 * 27, 4 * 8 * 4 * 6 * 4  # outputs × inputs; inputs × outputs
    assert found["gflop"] * 1e9 == 2 * 2 * (conv + deconv + 30 + 35)
    assert found["weight_bytes"] == 4 * (108 + 96 + 30 + 35)
    tensors = (3 * 8 * 16 + 4 * 4 * 8) + (4 * 4 * 8 + 6 * 8 * 16) + (6 + 5) + (5 + 7)
    assert found["tensor_bytes"] == 4 * 2 * tensors


def test_a_file_of_any_size_is_counted_at_one(exported):
    fixed, open_ = exported("hrnet18"), exported("hrnet18", any_size=True)
    found = roofline.count(open_.path, fixed.info.size, 2)
    assert found["gflop"] == pytest.approx(roofline.count(fixed.path, fixed.info.size, 2)["gflop"])


def test_what_cannot_be_counted_is_an_error(tmp_path):
    from onnx import TensorProto, helper, save

    nodes = [
        helper.make_node("NonZero", ["image"], ["a"]),  # as many columns as there are pixels that are not zero
        helper.make_node("Cast", ["a"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["b", "b"], ["logits"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, "h", "w"]) for name in ("image", "logits")]
    save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])), tmp_path / "g.onnx")
    with pytest.raises(MfpError, match=r"'b' is open at 64×96.*mfp export --size 64x96"):
        roofline.count(tmp_path / "g.onnx", (64, 96), 2)


def test_statistics():
    rising = summary([1.0, 1, 1, 2, 2, 2, 3, 3, 3])
    assert (rising.p50, rising.mean, rising.count) == (2, 2, 9)
    assert rising.drift == 2
    assert rising.drifts
    assert not summary([1.0, 1.05, 1, 1.1, 1.02, 1.05]).drifts
    assert summary([1.0, 9.0, 9.0, 9.0, 9.0]).drift == 0  # too few to say
