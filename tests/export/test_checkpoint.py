"""Checkpoint files: the authors' format, and everything that must be refused without running anything."""

import contextlib
import hashlib
import os
import pickle
import re
import struct
import subprocess
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfp.engine.errors import CheckpointError, OptionError
from mfp.export import checkpoint, models
from mfp.export.archive import Archive
from mfp.export.safe_pickle import StandIn
from mfp.export.seeded import seed_weights, weight

GOLDEN = Path(__file__).parents[1] / "golden"
VIT_SMALL = GOLDEN / "checkpoint_vit_small.pth"
TINY_VIT = {
    "class": "isegm.model.is_plainvit_model_prevMod.PlainVitModel_prevMod",
    "params": {
        "backbone_params": {"img_size": 224, "embed_dim": 8, "depth": 4, "num_heads": 2, "mlp_ratio": 2},
        "neck_params": {"out_dims": [4, 4, 4, 4]},
        "head_params": {"channels": 8},
        "N": 5,
    },
}
HRNET_SMALL = {
    "class": "isegm.model.is_hrnet_model_prevMod.HRNetModel_prevMod",
    "params": {"small": True, "ocr_width": 48},
}


def wrapped(config):
    params = {name: {"type": "builtin", "value": value, "specified": True} for name, value in config["params"].items()}
    return {"class": config["class"], "params": params}


@pytest.fixture(scope="module")
def tiny():
    network = models.build(TINY_VIT)
    seed_weights(network)
    return network


@pytest.fixture(scope="module")
def tiny_file(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.pth"
    torch.save({"state_dict": tiny.state_dict(), "config": wrapped(TINY_VIT)}, path)
    return path


def same_weights(one, two):
    one, two = one.state_dict(), two.state_dict()
    return list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)


# -------------------- good files


@pytest.mark.parametrize("size", [224, 448])
def test_authors_file_gives_the_releases_logits(size, golden_tensors):
    golden = np.load(GOLDEN / f"core_vit_small_{size}.npz")
    network = checkpoint.load(VIT_SMALL, size=(size, size))
    logits = network(*golden_tensors(golden["pcg64"], 1, size, size)).numpy()
    assert np.abs(logits[..., ::4, ::4] - golden["logits_stride4"]).max() < 1e-4 * golden["std"]
    assert logits.mean() == pytest.approx(golden["mean"], abs=1e-5)
    assert logits.std() == pytest.approx(golden["std"], abs=1e-5)


def test_authors_file_is_read_exactly():
    network = checkpoint.load(str(VIT_SMALL))
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weight(name, tuple(tensor.shape), 0))
    assert network.weights == "sha256:" + hashlib.sha256(VIT_SMALL.read_bytes()).hexdigest()
    assert (network.spec.name, network.spec.size) == ("vit_b", (224, 224))
    assert not network.training


def test_foreign_objects_become_stand_ins():
    config = Archive(VIT_SMALL).contents["config"]
    assert isinstance(config["params"]["head_params"]["value"]["loss_decode"], StandIn)


def test_round_trip_of_another_vit(tiny, tiny_file):
    network = checkpoint.load(tiny_file, backbone="vit_b")
    assert same_weights(network, tiny)
    assert network.spec.n_early == 5


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(tiny, tmp_path, protocol):
    content = {"state_dict": tiny.state_dict(), "config": wrapped(TINY_VIT), "seen": {1, 2}, "lr": np.float64(0.1)}
    torch.save(content, tmp_path / "tiny.pth", pickle_protocol=protocol)
    assert same_weights(checkpoint.load(tmp_path / "tiny.pth"), tiny)


def test_round_trip_of_a_small_hrnet(tmp_path, golden_tensors):
    original = models.build(HRNET_SMALL)
    seed_weights(original)
    torch.save({"state_dict": original.state_dict(), "config": wrapped(HRNET_SMALL)}, tmp_path / "small.pth")
    network = checkpoint.load(tmp_path / "small.pth")
    assert same_weights(network, original)
    tensors = golden_tensors(0, 1, 70, 90)
    assert torch.equal(network(*tensors), original(*tensors))


def test_stages_of_a_list(tiny, tmp_path):
    path = tmp_path / "stages.pth"
    first = {name: torch.zeros_like(tensor) for name, tensor in tiny.state_dict().items()}
    torch.save([{"state_dict": state, "config": TINY_VIT} for state in (first, tiny.state_dict())], path)
    assert same_weights(checkpoint.load(path), tiny)
    assert checkpoint.load(path, stage=0).backbone.pos_embed.abs().max() == 0
    for stage in (2, -3):
        with pytest.raises(CheckpointError, match=rf"stage {stage} .* holds 2"):
            checkpoint.load(path, stage=stage)


@pytest.mark.parametrize("prefix", ["module.", "module.module."])
def test_prefixes_are_stripped(tiny, tmp_path, prefix):
    state = OrderedDict((prefix + name, tensor) for name, tensor in tiny.state_dict().items())
    torch.save({"state_dict": state, "config": TINY_VIT}, tmp_path / "parallel.pth")
    assert same_weights(checkpoint.load(tmp_path / "parallel.pth"), tiny)


def test_half_precision_parameters_and_views(tiny, tmp_path):
    state = {name: t.half() if t.is_floating_point() else t for name, t in tiny.state_dict().items()}
    state["backbone.blocks.0.attn.qkv.weight"] = torch.nn.Parameter(tiny.backbone.blocks[0].attn.qkv.weight.data)
    state["backbone.head.weight"] = tiny.backbone.head.weight.T.contiguous().T  # strides in column order
    packed = torch.cat([tiny.backbone.fc_norm.bias, tiny.backbone.fc_norm.weight])
    state["backbone.fc_norm.bias"], state["backbone.fc_norm.weight"] = packed[:8], packed[8:]  # one storage
    torch.save({"state_dict": state, "config": TINY_VIT}, tmp_path / "half.pth")
    network = checkpoint.load(tmp_path / "half.pth")
    for name in ("blocks.0.attn.qkv.weight", "head.weight", "fc_norm.weight", "fc_norm.bias"):
        assert torch.equal(network.backbone.get_parameter(name), tiny.backbone.get_parameter(name))
    assert network.backbone.pos_embed.dtype == torch.float32
    assert torch.equal(network.backbone.pos_embed, tiny.backbone.pos_embed.half().float())


def test_bare_state_dict_needs_a_backbone(tmp_path):
    original = models.build("resnet34")
    torch.save(original.state_dict(), tmp_path / "bare.pth")
    assert same_weights(checkpoint.load(tmp_path / "bare.pth", backbone="resnet34", size=(96, 96)), original)
    with pytest.raises(CheckpointError, match=r"pass backbone= \(one of resnet34, hrnet18, vit_b, lite0\)"):
        checkpoint.load(tmp_path / "bare.pth")
    with pytest.raises(CheckpointError, match=r"\d+ missing: maps_transform|\d+ missing: feature_extractor"):
        checkpoint.load(tmp_path / "bare.pth", backbone="hrnet18")
    with pytest.raises(OptionError, match="resnet50"):
        checkpoint.load(tmp_path / "bare.pth", backbone="resnet50")


# -------------------- files of another network


def test_missing_and_unknown_weights_are_counted_and_named(tiny, tmp_path):
    state = dict(tiny.state_dict())
    for name in ("neck.down_4.0.weight", "neck.down_4.0.bias"):
        del state[name]
    state["rgb_conv.0.weight"] = torch.zeros(3)
    torch.save({"state_dict": state, "config": TINY_VIT}, tmp_path / "other.pth")
    expected = "2 missing: neck.down_4.0.weight, neck.down_4.0.bias, 1 unknown: rgb_conv.0.weight"
    with pytest.raises(CheckpointError, match=re.escape(expected)):
        checkpoint.load(tmp_path / "other.pth")


def test_weights_of_another_shape_are_named(tiny, tmp_path):
    state = {**tiny.state_dict(), "head.conv_seg.bias": torch.zeros(2)}
    torch.save({"state_dict": state, "config": TINY_VIT}, tmp_path / "shape.pth")
    with pytest.raises(CheckpointError, match=r"1 weights .* head.conv_seg.bias \(expected \(1,\), got \(2,\)\)"):
        checkpoint.load(tmp_path / "shape.pth")


def test_weights_of_another_type_are_named(tiny, tmp_path):
    state = {**tiny.state_dict(), "head.conv_seg.bias": torch.zeros(1, dtype=torch.int64)}
    torch.save({"state_dict": state, "config": TINY_VIT}, tmp_path / "type.pth")
    with pytest.raises(CheckpointError, match=r"head.conv_seg.bias \(expected torch.float32, got int64\)"):
        checkpoint.load(tmp_path / "type.pth")


def test_contradicting_backbone_names_both(tiny_file):
    with pytest.raises(CheckpointError, match=r"'hrnet18' was asked for.*'vit_b'.*PlainVitModel_prevMod"):
        checkpoint.load(tiny_file, backbone="hrnet18")


def test_weights_that_are_not_in_the_file_allocate_nothing(tiny, tmp_path):
    trunk = {**TINY_VIT["params"]["backbone_params"], "embed_dim": 4096, "depth": 16}
    config = {**TINY_VIT, "params": {**TINY_VIT["params"], "backbone_params": trunk}}
    with torch.device("meta"):
        expected = models.build(config).state_dict()
    floats, counts = Storage(4), Storage(4, kind=torch.LongStorage)
    state = {
        name: Tensor(floats if tensor.is_floating_point() else counts, 0, tuple(tensor.shape), (0,) * tensor.dim())
        for name, tensor in expected.items()
    }
    path = write_archive(tmp_path / "x.pth", {"state_dict": state, "config": config}, FOUR)
    with pytest.raises(CheckpointError, match="claim more than the file"):
        checkpoint.load(path)


def test_normalisation_keeps_its_signs(tiny, tmp_path):
    for text, mean in (("([-0.5, .25, 1E-3], [0.5, 0.5, 0.5])", (-0.5, 0.25, 1e-3)),):
        network = models.build({**TINY_VIT, "params": {**TINY_VIT["params"], "norm_mean_std": text}})
        np.testing.assert_allclose(network.mean.flatten(), mean)
    for value in (((1 << 2030, 1, 1), (1, 1, 1)), ((0, 0, 0), (1e-300, 1, 1)), ((1e300, 0, 0), (1, 1, 1))):
        with pytest.raises(CheckpointError, match="norm_mean_std"):
            models.build({**TINY_VIT, "params": {**TINY_VIT["params"], "norm_mean_std": value}})


def test_hostile_configuration_allocates_nothing(tiny, tmp_path):
    trunk = {**TINY_VIT["params"]["backbone_params"], "embed_dim": 8192, "depth": 128, "mlp_ratio": 16}
    params = {**TINY_VIT["params"], "backbone_params": trunk}  # 200 billion weights
    torch.save({"state_dict": tiny.state_dict(), "config": {**TINY_VIT, "params": params}}, tmp_path / "big.pth")
    with pytest.raises(CheckpointError, match=r"\d+ missing: backbone.blocks.4"):
        checkpoint.load(tmp_path / "big.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (7, "dictionary of tensors, got 7"),
        ([], "holds 0"),
        ({}, "dictionary of tensors"),
        ({"model": {"a": torch.zeros(1)}}, "got one of model"),
        ({"state_dict": {"a": 1}, "config": TINY_VIT}, "got one of a"),
        ({"state_dict": {"a": torch.zeros(1)}, "config": 3}, "configuration"),
        ({"state_dict": {"a": torch.zeros(1)}, "config": {"class": "SegNet", "params": {}}}, "'SegNet'"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(tmp_path / "other.pth")


# -------------------- files that are no such file


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes"),
        (b"hello", "zip archive.*hello"),
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "download service"),
        (pickle.dumps({"state_dict": {}}), "zip archive"),
        (b"PK\x03\x04 and no more", "damaged or cut short"),
    ],
)
def test_file_that_is_no_checkpoint(tmp_path, data, message):
    (tmp_path / "x.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(tmp_path / "x.pth")


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pth.*found nothing"):
        checkpoint.load(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="found a directory"):
        checkpoint.load(tmp_path)


def test_file_of_an_old_pytorch_says_how_to_convert_it(tiny, tmp_path):
    torch.save(tiny.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"before 1\.6.*torch\.save"):
        checkpoint.load(tmp_path / "old.pth")


@pytest.mark.parametrize("keep", [1, 4, 100, 0.1, 0.5, 0.9, 0.99, -100, -22, -1])
def test_truncated_file(tiny_file, tmp_path, keep):
    data = tiny_file.read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        checkpoint.load(tmp_path / "cut.pth")


class Storage:
    def __init__(self, numel, key="0", kind=torch.FloatStorage):
        self.pid = ("storage", kind, key, "cpu", numel)


class Tensor:
    """A tensor as its pickle describes it, true or not."""

    def __init__(self, storage, offset, shape, stride):
        self.args = (storage, offset, shape, stride, False, OrderedDict())

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.args


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None


def write_archive(path, content, entries=(), compression=zipfile.ZIP_STORED):
    """A file of PyTorch's layout; ``content`` is a pickle's bytes or anything that can be pickled."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        if not isinstance(content, bytes):
            with archive.open("archive/data.pkl", "w") as stream:
                Pickler(stream, protocol=2).dump(content)
        else:
            archive.writestr("archive/data.pkl", content)
        for name, data in entries:
            archive.writestr(f"archive/{name}", data)
    return path


FOUR = [("data/0", struct.pack("<4f", 1, 2, 3, 4))]


def only_tensor(path):
    archive = Archive(path)
    return archive.tensor(archive.contents["a"])


def test_handmade_archive_is_read(tmp_path):
    path = write_archive(tmp_path / "x.pth", {"a": Tensor(Storage(4), 1, (3,), (1,))}, [*FOUR, ("byteorder", "little")])
    assert only_tensor(path).tolist() == [2, 3, 4]
    empty = write_archive(tmp_path / "y.pth", {"a": Tensor(Storage(0), 0, (0, 3), (3, 1))}, [("data/0", b"")])
    assert only_tensor(empty).shape == (0, 3)


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(Storage(4), 0, (5,), (1,)),
        Tensor(Storage(4), 1, (4,), (1,)),
        Tensor(Storage(4), 0, (2, 2), (4, 1)),
        Tensor(Storage(4), 0, (1 << 40,), (0,)),
        Tensor(Storage(4), -1, (2,), (1,)),
        Tensor(Storage(4), 0, (2,), (-1,)),
        Tensor(Storage(4), 0, (2, 2), (1,)),
        Tensor(Storage(4), 0, (1,) * 100, (1,) * 100),
        Tensor(Storage(4), 0, (2.0,), (1,)),
        Tensor(Storage(4), 0, [2], [1]),
        Tensor(Storage(5), 0, (1,), (1,)),
        Tensor(Storage(3), 0, (1,), (1,)),
        Tensor(Storage(1 << 60), 0, (1,), (1,)),
        Tensor(Storage(4, kind=torch.DoubleStorage), 0, (1,), (1,)),
        Tensor(Storage(4, key="1"), 0, (1,), (1,)),
        Tensor(Storage(4, key="../data.pkl"), 0, (1,), (1,)),
        Tensor(Storage(4, kind="complex64"), 0, (1,), (1,)),
        Tensor(7, 0, (1,), (1,)),
    ],
)
def test_tensor_out_of_its_storage(tmp_path, tensor):
    path = write_archive(tmp_path / "x.pth", {"a": tensor}, FOUR)
    with pytest.raises(CheckpointError):
        only_tensor(path)


def test_archives_that_pytorch_does_not_write(tmp_path):
    content = {"a": Tensor(Storage(4), 0, (4,), (1,))}
    with pytest.raises(CheckpointError, match="compressed"):
        Archive(write_archive(tmp_path / "deflated.pth", content, FOUR, zipfile.ZIP_DEFLATED))
    with pytest.warns(UserWarning, match="Duplicate"):
        double = write_archive(tmp_path / "double.pth", content, [*FOUR, *FOUR])
    with pytest.raises(CheckpointError, match="same name"):
        Archive(double)
    with pytest.raises(CheckpointError, match="little-endian"):
        Archive(write_archive(tmp_path / "big.pth", content, [*FOUR, ("byteorder", "big")]))
    with pytest.raises(CheckpointError, match="found 2"):
        Archive(write_archive(tmp_path / "two.pth", content, [("b/data.pkl", b"")]))
    with zipfile.ZipFile(tmp_path / "photos.pth", "w") as archive:
        archive.writestr("photo.png", b"")
    with pytest.raises(CheckpointError, match="found 0"):
        Archive(tmp_path / "photos.pth")


# -------------------- hostile pickles


class Call:
    """Unpickles to the result of a call."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __call__(self):
        """Only callables may be called in a pickle; the result of a call may be one."""

    def __reduce__(self):
        return self.function, self.args


HOSTILE = {
    "os.system": lambda path: Call(os.system, f"touch {path}"),
    "subprocess": lambda path: Call(subprocess.check_call, ["touch", path]),
    "eval": lambda path: Call(eval, f"open({path!r}, 'w')"),
    "exec": lambda path: Call(exec, f"open({path!r}, 'w')"),
    "open": lambda path: Call(open, path, "w"),
    "getattr": lambda path: Call(Call(getattr, Call(__import__, "os"), "system"), f"touch {path}"),
    "torch.save": lambda path: Call(torch.save, 1, path),
    "pathlib": lambda path: Call(Path.touch, Path(path)),
}


@pytest.mark.parametrize("place", ["top", "config", "state_dict", "stage"])
@pytest.mark.parametrize("attack", HOSTILE)
def test_code_in_a_file_is_refused_and_not_run(tiny, tmp_path, attack, place):
    sentinel = tmp_path / "executed"
    bad = HOSTILE[attack](str(sentinel))
    content = {
        "top": bad,
        "config": {"state_dict": tiny.state_dict(), "config": {**TINY_VIT, "params": {"N": bad}}},
        "state_dict": {"state_dict": {**tiny.state_dict(), "extra": bad}, "config": TINY_VIT},
        "stage": [bad, {"state_dict": tiny.state_dict(), "config": TINY_VIT}],
    }[place]
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match=r"asks for \S+\.\w+.*nothing was executed"):
        checkpoint.load(tmp_path / "bad.pth")
    assert not sentinel.exists()


@pytest.mark.parametrize("attack", HOSTILE)
def test_the_attacks_would_work_elsewhere(tmp_path, attack):
    sentinel = tmp_path / "executed"
    pickle.loads(pickle.dumps(HOSTILE[attack](str(sentinel))))  # noqa: S301 - the point of this test
    assert sentinel.exists()


def test_error_names_the_global(tmp_path):
    write_archive(tmp_path / "x.pth", Call(os.system, "true"))
    with pytest.raises(CheckpointError, match=r"x\.pth: .*(posix|nt)\.system"):
        checkpoint.load(tmp_path / "x.pth")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02cos\nsystem\n.",  # named, not called
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # newer opcode for the same
        b"\x80\x04\x8c\x0btorch._utils\x8c\x08__dict__\x93.",
        b"\x80\x04]]\x93.",  # a name that is no text
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",  # without arguments
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nNR.",
        b"\x80\x02X\x01\x00\x00\x00x)R.",  # a call of something that is no function
        b"\x80\x02X\x01\x00\x00\x00xQ.",  # persistent id of another kind
        b"\x80\x02(X\x07\x00\x00\x00storageNNNNtQ.",
        b"\x80\x02}))s.",  # tuple as a key
        b"\x80\x02}(NNNu.",  # a key without a value
        b"\x80\x02ccollections\nOrderedDict\n]" + b")" + b"\x85" * 100_000 + b"N\x86a\x85R.",  # hashes what it is given
        b"\x80\x02}(\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x3f\x00Nu.",  # whole numbers can share one hash
        b"\x80\x02" + b"]" * (1 << 23) + b".",  # more than any network's
        b"\x80\x02)Na.",  # append to a tuple
        b"\x80\x02]NNs.",  # item of a list
        b"\x80\x02\x82\x01.",  # extension registry
        b"Np4294967290\n.",  # protocol 0
        b"\x80\x02h\x05.",  # memo that was never set
        b"\x80\x02]\x94",  # no end
        b".",
        b"",
    ],
)
def test_handmade_pickle_is_refused(tmp_path, data):
    with pytest.raises(CheckpointError, match=r"x\.pth: (refused|damaged)"):
        Archive(write_archive(tmp_path / "x.pth", data))


@pytest.mark.parametrize(
    ("data", "contents"),
    [
        (b"\x80\x02Nr\xff\xff\xff\xff.", None),  # CPython's unpickler takes 64 GB for this memo index
        (b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsNsb.", {}),  # an attribute 'items'
        (b"\x80\x02c__builtin__\nset\n](K\x01K\x02e\x85R.", [1, 2]),
        (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8f(K\x01\x90.", [1]),
        (b"\x80\x02ctorch\nSize\nK\x03K\x04\x86\x85R.", (3, 4)),
    ],
)
def test_handmade_pickle_is_read_as_plain_data(tmp_path, data, contents):
    assert Archive(write_archive(tmp_path / "x.pth", data)).contents == contents


def test_attributes_written_into_a_foreign_class_are_dropped(tmp_path):
    data = b"\x80\x02cisegm.x\nY\nq\x01}X\x01\x00\x00\x00aNsbh\x01)\x81."
    contents = Archive(write_archive(tmp_path / "x.pth", data)).contents
    assert isinstance(contents, StandIn)
    assert not hasattr(contents, "a")


@pytest.mark.parametrize("depth", [30, 1_000_000])
def test_nested_pickles_cannot_end_or_stall_the_process(tmp_path, depth):
    deep = b"\x80\x02}N" + b"\x85" * depth + b"Ns."  # CPython's unpickler overflows the stack for this key
    with pytest.raises(CheckpointError, match="tuple as key"):
        Archive(write_archive(tmp_path / "x.pth", deep))
    wide = b"\x80\x02]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(30)) + b"."
    path = write_archive(tmp_path / "y.pth", wide)  # 2 ** 30 elements if it were written out
    with pytest.raises(CheckpointError, match="expected"):
        checkpoint.load(path)


def load_or_refuse(path):
    """An altered number may ask for an impossible size; all else is a CheckpointError."""
    with contextlib.suppress(CheckpointError, OptionError):
        checkpoint.load(path)


fuzzing = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzzing
@given(data=st.data())
def test_damaged_pickle_is_read_or_refused(tiny_file, tmp_path, data):
    with zipfile.ZipFile(tiny_file) as archive:
        entries = {info.filename.removeprefix("tiny/"): archive.read(info) for info in archive.infolist()}
    damaged = bytearray(entries.pop("data.pkl"))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    load_or_refuse(write_archive(tmp_path / "x.pth", bytes(damaged), entries.items()))


@fuzzing
@given(data=st.data())
def test_damaged_archive_is_read_or_refused(tiny_file, tmp_path, data):
    damaged = bytearray(tiny_file.read_bytes())
    directory = 20_000  # bytes at the end, where a change is most likely to matter
    at = data.draw(st.integers(0, len(damaged) - 1) | st.integers(len(damaged) - directory, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    (tmp_path / "x.pth").write_bytes(damaged)
    load_or_refuse(tmp_path / "x.pth")
