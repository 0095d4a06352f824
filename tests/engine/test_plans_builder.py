"""Plans: built for real with TensorRT for RTX, which needs no GPU, and looked into."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mfp import load_network
from mfp.cli.main import main
from mfp.engine.devices import cuda_driver
from mfp.engine.errors import BuildError, NetworkError, OptionError, PlanError, RuntimeMissingError
from mfp.engine.plans import builder
from mfp.engine.plans.build_on_demand import cached_plan
from mfp.engine.plans.builder import build_plan
from mfp.engine.plans.cache import EngineCache
from mfp.engine.plans.flavour import open_flavour, words
from mfp.engine.plans.options import BuildOptions
from mfp.engine.plans.plan_file import read_metadata, read_plan, write_plan
from mfp.engine.plans.plan_layers import Share, share_of_layers
from mfp.engine.plans.tensorrt_plan import OpenedPlan

pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed: pip install tensorrt-rtx")

BACKBONES = [pytest.param("resnet34", marks=pytest.mark.slow), "hrnet18", pytest.param("vit_b", marks=pytest.mark.slow)]
SECONDS = 300


@pytest.fixture(scope="module")
def toy_onnx(golden):
    return golden("toy.onnx")


@pytest.fixture(scope="module")
def toy_plan(toy_onnx, tmp_path_factory):
    return build_plan(toy_onnx, tmp_path_factory.mktemp("toy") / "toy.plan", flavour="tensorrt-rtx")


@pytest.fixture(scope="module")
def plan(exported, converted, tmp_path_factory):
    """``plan(backbone, precision)``: the report of its build, made once."""
    folder, reports = tmp_path_factory.mktemp("plans"), {}

    def build(backbone, precision):
        if (backbone, precision) not in reports:
            source = (exported if precision == "fp32" else converted)(backbone).path
            path = folder / f"{backbone}_{precision}.plan"
            reports[backbone, precision] = build_plan(source, path, flavour="tensorrt-rtx", precision=precision)
        return reports[backbone, precision]

    return build


@pytest.mark.parametrize("backbone", BACKBONES)
def test_fp16_is_asked_for_and_got(plan, backbone):
    half, full = plan(backbone, "fp16"), plan(backbone, "fp32")
    assert half.share.fraction >= 0.95
    assert half.share.source in ("build log", "inspector")  # what the engine shows, not what the graph asked for
    assert full.share.half == 0
    assert half.share.total == full.share.total >= {"resnet34": 66, "hrnet18": 326, "vit_b": 99}[backbone]
    assert half.metadata["plan_bytes"] <= 0.6 * full.metadata["plan_bytes"]
    assert half.metadata["activation_bytes"] < full.metadata["activation_bytes"]


@pytest.mark.parametrize("backbone", [pytest.param("resnet34", marks=pytest.mark.slow), "hrnet18"])
def test_files_of_any_size(exported, tmp_path, backbone):
    from mfp.export.half import prepared, to_half

    full = exported(backbone, any_size=True).path
    model = onnx.load(full)
    half = to_half(prepared(model), "fp16")
    helper.set_model_props(half, {e.key: e.value for e in model.metadata_props} | {"mfp.precision": "fp16"})
    onnx.save(half, tmp_path / "half.onnx")
    options = BuildOptions(sizes=((64, 64), (320, 480), (512, 640)))
    reports = [
        build_plan(source, tmp_path / f"{i}.plan", flavour="tensorrt-rtx", options=options)
        for i, source in enumerate((full, tmp_path / "half.onnx"))
    ]
    assert reports[1].share.fraction >= 0.95
    assert reports[1].metadata["plan_bytes"] <= 0.6 * reports[0].metadata["plan_bytes"]
    assert reports[1].metadata["profile"] == [[1, 64, 64], [2, 320, 480], [2, 512, 640]]


def test_bf16(golden, tmp_path):
    """A small ViT: TensorRT has no transposed convolution in BF16, so these stay FP32."""
    from mfp.export.convert import convert_onnx
    from mfp.export.onnx_export import export_onnx

    full = export_onnx(checkpoint=golden("checkpoint_vit_small.pth"), output=tmp_path / "small.onnx").path
    report = convert_onnx(full, tmp_path / "b.onnx", precision="bf16")
    assert {node.rpartition("/")[2] for node in report.kept} == {"ConvTranspose"}
    plan = build_plan(report.path, flavour="tensorrt-rtx", precision="bf16")
    assert plan.share.half == report.half_matrix_nodes == report.matrix_nodes - len(report.kept)
    assert plan.path == tmp_path / "b.plan"


def test_a_plan_says_what_it_is(toy_plan, toy_onnx):
    metadata, plan = read_plan(toy_plan.path)
    assert metadata == toy_plan.metadata
    assert len(plan) == metadata["plan_bytes"] > 10_000
    assert metadata["source"] == str(toy_onnx)
    assert metadata["flavour"] == "tensorrt-rtx"
    assert metadata["flavour_version"] == open_flavour("tensorrt-rtx").version
    assert metadata["built_for"] == "compute capability 8.0 and later"
    assert metadata["profile"] == [[1, 32, 32], [2, 400, 400], [2, 512, 512]]
    assert metadata["network"]["mfp.precision"] == "fp32"


def test_compute_capabilities_are_respected(toy_onnx, tmp_path):
    """TensorRT for RTX keeps its targets as bits in byte 32 of the plan: 7.5, 8.0, 8.6, 8.9, 12.0 from the lowest."""

    def targets(*capabilities):
        options = BuildOptions(compute_capabilities=capabilities)
        report = build_plan(toy_onnx, tmp_path / "t.plan", flavour="tensorrt-rtx", options=options)
        assert report.metadata["options"]["compute_capabilities"] == list(capabilities)
        return read_plan(report.path)[1][32], report.metadata["built_for"]

    assert targets("7.5") == (0b00001, "compute capability 7.5")
    assert targets("8.9") == (0b01000, "compute capability 8.9")
    assert targets("8.6", "12.0") == (0b10100, "compute capability 8.6, 12.0")
    assert targets()[0] & 0b11111 == 0b11110


def test_asked_for_half_and_not_got(exported, tmp_path, monkeypatch):
    """A file that says FP16 and is not; and a builder that quietly gives FP32."""
    model = onnx.load(exported("resnet34").path)
    for entry in model.metadata_props:
        if entry.key == "mfp.precision":
            entry.value = "fp16"
    onnx.save(model, tmp_path / "liar.onnx")
    with pytest.raises(BuildError, match="asked for fp16 and not got: 0 of 66"):
        build_plan(tmp_path / "liar.onnx", flavour="tensorrt-rtx")
    assert not (tmp_path / "liar.plan").exists()


def test_a_quiet_fp32_engine_is_refused(converted, tmp_path):
    """The description of an FP32 engine, held against a file that is FP16."""
    file = builder.read_model(converted("resnet34").path)
    with pytest.raises(BuildError, match="asked for fp16 and not got: 3 of 66"):
        builder._demand_precision(file, Share(3, 66, "inspector"))
    builder._demand_precision(file, Share(66, 66, "inspector"))
    builder._demand_precision(file, Share(63, 66, "inspector"))


LAYERS = """Layers:
Name: a, LayerType: correlation, Inputs: [ { Name: x, Dimensions: [-1,4,8,8], Datatype: Half, Format: (NHWC) }], \
Constants: [ { Name: w, Dimensions: [16,4,3,3], Strides: [1,1,1,1], Datatype: Half, Format: (NHWC) }, \
{ Name: s, Dimensions: [1], Datatype: Float, Format: (Linear) }], \
Outputs: [ { Name: y, Dimensions: [-1,16,8,8], Datatype: Float, Format: (NHWC) }], Metadata: [ONNX Layer: conv1]
Name: b, LayerType: correlation, Inputs: [ { Name: y, Dimensions: [-1,16,8,8], Datatype: Float, Format: (NHWC) }], \
Constants: [ { Name: w2, Dimensions: [16,16,3,3], Datatype: Float, Format: (NHWC) }], \
Outputs: [ { Name: z, Dimensions: [-1,16,8,8], Datatype: Half, Format: (NHWC) }], Metadata: [ONNX Layer: conv2]
Name: c, LayerType: CaskConvolution, Inputs: [ { Name: z, Location: Device, Dimensions: [2,16,8,8], \
Format/Datatype: Channel major FP16 format where C % 8 == 0 }], Outputs: [ { Name: q, Location: Device, \
Dimensions: [2,16,8,8], Format/Datatype: Row major linear FP32 }], ParameterType: Convolution, \
Metadata: [ONNX Layer: conv3]
Name: d, LayerType: kgen, Inputs: [], Constants: [], Outputs: [], TacticName: , Metadata: [ONNX Layer: relu]
"""


def test_weights_decide_before_inputs_that_are_cast():
    """A layer that casts the image for conv1 carries conv1's name too, and the image is larger than the weights."""
    cast = (
        "Name: e, LayerType: kgen, Inputs: [ { Name: image, Dimensions: [-1,3,99,99], Datatype: Float, Format: (L) }], "
        "Constants: [], Outputs: [ { Name: x, Dimensions: [-1,3,99,99], Datatype: Half, Format: (L) }], "
        "Metadata: [ONNX Layer: image_fp16/Cast][ONNX Layer: conv1]\n"
    )
    for text in (LAYERS + cast, LAYERS.replace("Name: a,", cast + "Name: a,")):
        assert share_of_layers(text, {"conv1"}, "inspector") == Share(1, 1, "inspector")


def test_layers_are_read_in_both_spellings():
    share = share_of_layers(LAYERS, {"conv1", "conv2", "conv3", "gone"}, "inspector")
    assert share == Share(2, 3, "inspector")
    assert share_of_layers(LAYERS, {"gone"}, "inspector") is None
    assert share_of_layers("", {"conv1"}, "inspector") is None


def test_the_parser_names_node_operator_and_inputs(toy_onnx, tmp_path):
    model = onnx.load(toy_onnx)
    last = model.graph.node[-1]
    last.output[0] = "almost"
    model.graph.node.append(helper.make_node("Bernoulli", ["almost"], ["logits"], "coin"))
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(BuildError, match=r"Bernoulli 'coin' with the inputs almost: "):
        build_plan(tmp_path / "odd.onnx", flavour="tensorrt-rtx")


def test_progress_is_told_and_an_interrupt_cancels(toy_onnx, tmp_path):
    seen = []
    build_plan(
        toy_onnx, tmp_path / "a.plan", flavour="tensorrt-rtx", progress=lambda phase, done, total: seen.append(phase)
    )
    assert len(set(seen)) > 3

    def interrupt(phase, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_plan(toy_onnx, tmp_path / "b.plan", flavour="tensorrt-rtx", progress=interrupt)
    assert [file.name for file in tmp_path.iterdir()] == ["a.plan"]


def test_control_c_cancels_a_build(toy_onnx, tmp_path):
    """A real signal in the middle of TensorRT's own code, which loses what is raised in its callbacks."""

    def press(*_):
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored, as in background jobs
    try:
        with pytest.raises(KeyboardInterrupt):
            build_plan(toy_onnx, tmp_path / "b.plan", flavour="tensorrt-rtx", progress=press)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (BuildOptions(batches=(2, 1, 1)), "three rising batches"),
        (BuildOptions(batches=(0, 1, 1)), "three rising batches"),
        (BuildOptions(batches=("1", "2", "2")), "three rising batches"),
        (BuildOptions(batches=(True, 1, 2)), "three rising batches"),
        (BuildOptions(batches=2), "three rising batches"),
        (BuildOptions(sizes=()), "three rising sizes"),
        (BuildOptions(sizes=((32,), (64, 64), (64, 64))), "three rising sizes"),
        (BuildOptions(level=2.0), "optimisation level"),
        (BuildOptions(workspace="1"), "workspace limit"),
        (BuildOptions(compute_capabilities="8.6"), "tuple of different"),
        (BuildOptions(compute_capabilities=("8.6", "8.6")), "tuple of different"),
        (BuildOptions(compute_capabilities=(8.6,)), r"does not build for compute capability 8\.6"),
        (BuildOptions(sizes=((64, 64), (32, 32), (128, 128))), "three rising sizes"),
        (BuildOptions(level=6), "optimisation level"),
        (BuildOptions(workspace=0), "workspace limit"),
        (BuildOptions(compute_capabilities=("9.0",)), r"does not build for compute capability 9\.0"),
        (BuildOptions(hardware_compatible=True), "runs on several GPUs"),
        (BuildOptions(version_compatible=True), "needs the version it was built with"),
    ],
)
def test_options_that_do_not_fit(toy_onnx, tmp_path, options, match):
    with pytest.raises(OptionError, match=match):
        build_plan(toy_onnx, tmp_path / "t.plan", flavour="tensorrt-rtx", options=options)
    assert not list(tmp_path.iterdir())


def test_other_refusals(toy_onnx, exported, tmp_path):
    with pytest.raises(OptionError, match=r"mfp convert .* --precision fp16"):
        build_plan(toy_onnx, tmp_path / "t.plan", flavour="tensorrt-rtx", precision="fp16")
    with pytest.raises(OptionError, match="sizes are for files of any size"):
        build_plan(
            exported("resnet34").path,
            tmp_path / "t.plan",
            flavour="tensorrt-rtx",
            options=BuildOptions(sizes=((64, 64), (64, 64), (64, 64))),
        )
    with pytest.raises(OptionError, match=r"ending in \.plan"):
        build_plan(toy_onnx, tmp_path / "t.engine", flavour="tensorrt-rtx")
    for number in (-1, "0", None, True):
        with pytest.raises(OptionError, match="number of a GPU"):
            build_plan(toy_onnx, tmp_path / "t.plan", flavour="tensorrt-rtx", device=number)
    with pytest.raises(OptionError, match="unknown flavour"):
        build_plan(toy_onnx, tmp_path / "t.plan", flavour="openvino")
    with pytest.raises(OptionError, match="times nothing"):
        build_plan(toy_onnx, tmp_path / "t.plan", flavour="tensorrt-rtx", timing_cache=tmp_path / "timings")
    with pytest.raises(NetworkError, match="no such file"):
        build_plan(tmp_path / "no.onnx", flavour="tensorrt-rtx")
    (tmp_path / "bad.onnx").write_bytes(b"no onnx at all")
    with pytest.raises(NetworkError, match="is no ONNX file"):
        build_plan(tmp_path / "bad.onnx", flavour="tensorrt-rtx")


def test_weights_in_other_files_are_refused(toy_onnx, tmp_path):
    model = onnx.load(toy_onnx)
    weights = numpy_helper.from_array(np.zeros(4096, np.float32), "more")
    model.graph.initializer.append(weights)
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="rest.bin")
    with pytest.raises(NetworkError, match="weights in other files"):
        build_plan(tmp_path / "split.onnx", flavour="tensorrt-rtx")


def test_tensorrt_without_its_package_or_gpu(toy_onnx, tmp_path):
    with pytest.raises(RuntimeMissingError, match="tensorrt"):
        build_plan(toy_onnx, tmp_path / "t.plan", flavour="tensorrt")


def test_the_command_and_the_script(toy_onnx, tmp_path, capsys):
    path = tmp_path / "toy.plan"
    options = ["--flavour", "tensorrt-rtx", "--output", str(path), "--compute-capability", "8.6", "8.9"]
    assert main(["build", str(toy_onnx), *options]) == 0
    out = capsys.readouterr().out
    assert "compute capability 8.6, 8.9" in out
    assert read_metadata(path)["options"]["compute_capabilities"] == ["8.6", "8.9"]
    script = Path(__file__).parents[2] / "engine" / "build.py"
    done = subprocess.run(
        [sys.executable, str(script), str(toy_onnx), "--precision", "fp16"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "mfp convert" in done.stderr


def test_the_cache_builds_once_and_keys_what_matters(toy_onnx, tmp_path):
    cache, said = EngineCache(tmp_path / "cache"), []
    first = cached_plan(toy_onnx, flavour="tensorrt-rtx", cache=cache, say=said.append)
    assert len(said) == 1
    assert cached_plan(toy_onnx, flavour="tensorrt-rtx", cache=cache, say=said.append) == first
    assert len(said) == 1
    other = BuildOptions(compute_capabilities=("8.9",))
    assert cached_plan(toy_onnx, flavour="tensorrt-rtx", cache=cache, say=said.append, options=other) != first
    changed = onnx.load(toy_onnx)
    changed.doc_string = "another file"
    onnx.save(changed, tmp_path / "toy.onnx")
    assert cached_plan(tmp_path / "toy.onnx", flavour="tensorrt-rtx", cache=cache, say=said.append) != first
    assert len(said) == 3
    first.write_bytes(first.read_bytes()[:-1])
    assert cached_plan(toy_onnx, flavour="tensorrt-rtx", cache=cache, say=said.append) == first
    assert "truncated" in said[-1]
    read_plan(first)


def test_two_processes_build_one_engine(toy_onnx, tmp_path):
    """Real builds, racing: one says that it builds, both get the same file."""
    code = (
        "import sys; from mfp.engine.plans.build_on_demand import cached_plan; "
        f"print(cached_plan({str(toy_onnx)!r}, flavour='tensorrt-rtx', say=lambda line: print(line, file=sys.stderr)))"
    )
    environment = {**os.environ, "MFP_CACHE_DIR": str(tmp_path)}
    racers = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=-1, stderr=-1, text=True)
        for _ in range(2)
    ]
    done = [racer.communicate(timeout=SECONDS) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], done
    assert done[0][0] == done[1][0] != ""
    assert sum(said.count("building") for _, said in done) == 1
    assert json.dumps(read_metadata(done[0][0].strip()))


@pytest.mark.skipif(cuda_driver()[0] > 0, reason="there is a GPU: see test_plans_gpu.py")
def test_a_plan_without_a_gpu_says_so(toy_plan, toy_onnx):
    for source, runtime in ((toy_plan.path, "auto"), (toy_plan.path, "tensorrt-rtx"), (toy_onnx, "tensorrt-rtx")):
        with pytest.raises(RuntimeMissingError, match="NVIDIA driver"):
            load_network(source, runtime)
    with pytest.raises(PlanError, match=r"does not take .*toy\.plan.* mfp build .*toy\.onnx --flavour tensorrt-rtx"):
        OpenedPlan(toy_plan.path, 0)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Runtime", ["engine_host_code_allowed", "deserialize_cuda_engine"]),
        ("ICudaEngine", ["num_io_tensors", "get_tensor_name", "get_tensor_shape", "get_tensor_mode"]),
        ("ICudaEngine", ["get_tensor_dtype", "get_tensor_profile_shape", "create_runtime_config"]),
        ("ICudaEngine", ["create_execution_context", "create_engine_inspector", "device_memory_size_v2"]),
        ("IRuntimeConfig", ["create_runtime_cache", "set_runtime_cache"]),
        ("IRuntimeConfig", ["dynamic_shapes_kernel_specialization_strategy"]),
        ("IRuntimeCache", ["serialize", "deserialize"]),
        ("IExecutionContext", ["set_input_shape", "set_tensor_address", "execute_async_v3"]),
        ("EngineInspector", ["get_engine_information"]),
        ("LayerInformationFormat", ["ONELINE"]),
        ("DynamicShapesKernelSpecializationStrategy", ["EAGER"]),
        ("TensorIOMode", ["INPUT"]),
    ],
)
def test_what_runs_on_a_gpu_alone_has_the_names_of_the_api(kind, names):
    """A plan cannot be opened without a driver; that the calls exist can be seen without one."""
    assert {name for name in names if not hasattr(getattr(open_flavour("tensorrt-rtx").trt, kind), name)} == set()


@pytest.mark.parametrize("flavour", [[], {}, None, "", "cuda", 7])
def test_plans_of_strangers(tmp_path, flavour):
    path = write_plan(tmp_path / "odd.plan", {"flavour": flavour, "source": "$(reboot) \x1b[31m"}, b"no plan")
    with pytest.raises(PlanError, match="does not say which TensorRT") as caught:
        OpenedPlan(path, 0)
    assert str(caught.value).isprintable()


def test_the_precision_of_files_that_do_not_say(converted, tmp_path):
    model = onnx.load(converted("resnet34").path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    report = build_plan(tmp_path / "foreign.onnx", flavour="tensorrt-rtx", precision="fp16")
    assert report.metadata["precision"] == "fp16"


def test_an_error_of_tensorrt_in_its_own_words():
    h100 = (
        "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine cannot run on this GPU, which has "
        "compute capability 9.0. Supported compute capabilities: 8.0 8.6 8.9 12.0 12.1 >12.0. TensorRT-RTX does not "
        "support this compute capability, so the engine cannot be rebuilt for it. In throwUnlessComputeCapSupported at "
        "/_src/runtime/dispatch/runtime.cpp:84)"
    )
    assert words(h100).startswith("The engine cannot run on this GPU, which has compute capability 9.0.")
    assert words(h100).endswith("the engine cannot be rebuilt for it.")
    assert words("it does not say why") == "it does not say why"
