"""What commands print into a pipe: whole lines, so that paths can be copied and searched."""

import shutil

import onnx

from mfp.engine.plans.plan_file import write_plan


def test_long_paths_come_through_a_pipe_in_one_piece(mfp, golden, tmp_path, monkeypatch):
    folder = tmp_path.joinpath(*["a folder with a long name"] * 8)
    assert len(str(folder)) > 200
    for part in ("images", "masks"):
        (folder / "data" / part).mkdir(parents=True)
        shutil.copy(golden("coffee.png"), folder / "data" / part / "coffee.png")
    network, photo, out = folder / "toy.onnx", folder / "data/images/coffee.png", folder / "out"
    shutil.copy(golden("toy.onnx"), network)
    monkeypatch.setenv("MFP_CACHE_DIR", str(folder / "cache"))
    assess = ["eval", folder / "data", "--network", network, "--size", "48", "--max-clicks", "1"]
    commands = [
        (["info", network], [network]),
        (
            ["segment", photo, "--pos", "9,9", "--network", network, "--size", "64", "--output", out],
            [out / "coffee_mask.png"],
        ),
        (
            ["compare", network, network, "--images", photo, "--size", "64", "--clicks", "1", "--output", out],
            [network, out / "compare.json"],
        ),
        ([*assess, "--mask-values", "any", "--output", out], [out / "eval.json", out / "eval.md"]),
        (["triton-repo", network, "--output", out], [out / "mfp_toy/config.pbtxt"]),
        (["cache"], [folder / "cache"]),
    ]
    for arguments, paths in commands:
        monkeypatch.setenv("COLUMNS", "40")
        code, narrow, err = mfp(*arguments)
        assert code == 0, err
        assert "…" not in narrow
        assert "\x1b" not in narrow
        for path in paths:
            assert any(str(path) in line for line in narrow.splitlines()), path
    before = mfp("info", network)[1]
    monkeypatch.setenv("COLUMNS", "300")
    assert mfp("info", network)[1] == before


def test_help_through_a_pipe_is_not_wrapped(mfp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    narrow = mfp("segment", "--help")[1]
    monkeypatch.setenv("COLUMNS", "200")
    assert mfp("segment", "--help")[1] == narrow
    assert "default: lite0, which ships with the package" in narrow


def test_facts_of_a_file_are_shown_whole(mfp, golden, tmp_path):
    source = "/a folder" * 40 + "/net.onnx"
    write_plan(tmp_path / "a.plan", {"backbone": "toy", "source": source}, b"plan")
    assert any(source in line for line in mfp("info", tmp_path / "a.plan")[1].splitlines())
    model, kept = onnx.load(golden("toy.onnx")), " ".join(f"node{number}" for number in range(200))
    model.metadata_props.add(key="mfp.kept_fp32", value=kept)
    onnx.save(model, tmp_path / "a.onnx")
    assert any(kept in line for line in mfp("info", tmp_path / "a.onnx")[1].splitlines())
