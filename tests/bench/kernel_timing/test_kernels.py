"""The kernel bench: it counts, compares and shows what it says. Its times need a GPU, and are asserted nowhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mfp import Click, Session
from mfp.bench.kernel_timing import idle_network, run
from mfp.bench.kernel_timing.bytes_moved import ClickSizes, bytes_moved, window_box
from mfp.bench.kernel_timing.idle_network import IdleNetwork, Scene, session_times
from mfp.bench.kernel_timing.tables import ASKED, NAMES, tables
from mfp.bench.machine import gpu_facts
from mfp.engine.devices import cuda_driver
from mfp.kernels import reference

ROOT = Path(idle_network.__file__).parents[2]
IMAGE, SIZE, CLICKS = (60, 90), (40, 48), 4


@pytest.fixture
def scene(host_device):
    return Scene(host_device(), IMAGE, SIZE, CLICKS)


def test_bytes_are_those_of_the_sizes():
    moved = bytes_moved(ClickSizes(image=(8, 40), size=(4, 5), clicks=3, windows=[(2, 3), (2, 4)]))
    area = 4 * 4 * 5
    # 7 rows and 9 columns are read: two for each of the map's, but for those at the end
    assert moved["mfp_crop"] == 7 * 9 * (3 + 4) + 2 * (3 + 1) * area
    assert moved["mfp_disks"] == 2 * 2 * area
    assert moved["mfp_window"] == 2 * 4 * (6 + 8)
    assert moved["mfp_select_second"] == moved["mfp_select_third"] == 4 * (6 + 8)
    assert moved["mfp_modulate"] == 2 * 2 * area + 4 * (6 + 8)
    assert moved["mfp_probability"] == 3 * area
    assert moved["mfp_paste"] == area + 4 * 8 * 40 + 4 * 8 * 2 + 32
    assert moved["mfp_unpack"] == 4 * 8 * 2 + 8 * 40
    assert bytes_moved(ClickSizes((8, 40), (4, 5), 9, [(2, 3), (2, 4)]))["mfp_begin"] - moved["mfp_begin"] == 6 * 56


@pytest.mark.parametrize(("y", "x", "radius"), [(20, 24, 10.0), (0.3, 47.6, 10.5), (39.9, 10, 100)])
def test_a_windows_box_is_that_of_the_kernels(workbench_window, y, x, radius):
    assert window_box(y, x, radius, SIZE) == workbench_window(y, x, radius)


@pytest.fixture
def workbench_window(host_device):
    """The box that ``mfp_begin`` lays, read back from a lane."""
    from mfp.kernels.block import BLOCK, CLICK, LANE, WINDOW

    def box(y, x, radius):
        device = host_device()
        lane, window = np.zeros((), LANE), device.empty(WINDOW.itemsize, np.uint8)
        placed, block = device.empty(64, np.uint8), device.empty(BLOCK.itemsize + CLICK.itemsize, np.uint8)
        lane["windows"], lane["placed"] = device.address(window), device.address(placed)
        lane["batch"], lane["capacity"], lane["height"], lane["width"] = 1, 1, *SIZE
        block[:] = 0
        head, click = block[: BLOCK.itemsize].view(BLOCK), block[BLOCK.itemsize :].view(CLICK)
        head["r_max"], head["n_clicks"], head["mapped"] = radius, 1, 1
        click["y"], click["x"] = y, x
        device.launch("mfp_begin", (lane, device.address(block)), 1, 1)
        found = window.view(WINDOW)[0]
        return int(found["row_stop"] - found["row_start"]), int(found["col_stop"] - found["col_start"])

    return box


def test_every_kernel_of_a_click_is_timed_and_counted(scene):
    assert scene.status == 0
    later = [launch.kernel for launch in scene.launches]
    assert later[0] == "mfp_begin"
    assert later[-1] == "mfp_paste"
    assert set(run.MODULATION) < set(later)
    timed = [launch.kernel for launch, _ in run._launches(scene)]
    assert timed == [*later, "mfp_bootstrap", "mfp_unpack"]
    assert set(timed) == set(bytes_moved(scene.sizes))


def test_kernels_run_alone_do_what_they_do_in_a_click(scene):
    device, stream = scene.device, scene.device.new_stream().ptr
    expected = scene.download(scene._arrays["probability"], np.float32), scene.download(scene._arrays["result"], "u1")
    for launch, before in run._launches(scene):
        for each in (*before, launch):
            run._launch(device, each)(stream)
    scene.click(stream)
    assert scene.status == 0
    np.testing.assert_array_equal(scene.download(scene._arrays["result"], "u1"), expected[1])
    np.testing.assert_array_equal(scene.download(scene._arrays["probability"], np.float32), expected[0])
    bits = np.unpackbits(expected[1][32:].reshape(IMAGE[0], -1), axis=1, bitorder="little")[:, : IMAGE[1]]
    np.testing.assert_array_equal(scene.download(scene._arrays["mask"], np.uint8), bits)


@pytest.mark.parametrize("clicks", [3, 9])  # an early and a late one
def test_operators_and_kernels_agree(host_device, clicks):
    torch = pytest.importorskip("torch")
    from mfp.bench.kernel_timing.torch_modulation import modulate

    scene = Scene(host_device(), IMAGE, SIZE, clicks)
    maps = [torch.from_numpy(map_) for map_ in scene.download(scene.worker.prev_mask, np.float32)[:, 0]]
    expected = np.stack([modulate(map_, scene.clicks_on_map(item)).numpy() for item, map_ in enumerate(maps)])
    run.check_agreement(scene, expected)
    with pytest.raises(RuntimeError, match=r"differ by 1\.0e-03"):
        run.check_agreement(scene, expected + np.float32(1e-3))


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("newest", [6, 7])
@pytest.mark.parametrize("opposite", [[], [(50.0, 20.0)], [(28.5, 31.0), (24.0, 24.0)]], ids=["none", "far", "near"])
def test_the_operators_are_the_specification(positive, newest, opposite):
    torch = pytest.importorskip("torch")
    from mfp.bench.kernel_timing.torch_modulation import modulate

    clicks = [Click(x, y, not positive, k) for k, (x, y) in enumerate(opposite)] + [Click(25.3, 27.8, positive, newest)]
    rng = np.random.default_rng(newest)
    for at_click in (None, 0.0, 1.0, 0.995, 0.005):
        map_ = rng.uniform(0.01, 0.99, (48, 64)).astype(np.float32)
        if at_click is not None:
            map_[27, 25] = at_click
        expected = reference.modulate(map_, clicks, r_max=21.0)
        np.testing.assert_allclose(modulate(torch.from_numpy(map_), clicks, r_max=21.0).numpy(), expected, atol=1e-5)


def test_sessions_without_a_network(host_device, monkeypatch):
    device = host_device(threads=32)
    monkeypatch.setattr("mfp.engine.pipelines.gpu.open_device", lambda network: device)
    pixels = np.random.default_rng(0).integers(0, 256, (*IMAGE, 3), dtype=np.uint8)
    with Session(IdleNetwork(SIZE), pixels, pipeline="device") as session:
        times = session_times(device, session, clicks=3, samples=4)
        assert session.roi == (0, IMAGE[0] - 1, 0, IMAGE[1] - 1)  # as the scene's
        assert len(session.clicks) == 2
    assert "synchronize" not in vars(device)
    for name in ("click", "undo"):
        assert len(times[name]) == len(times[f"{name}_host"]) == 4
        assert all(0 < host < whole for host, whole in zip(times[f"{name}_host"], times[name], strict=True))


def test_tables(capsys):
    from rich.console import Console

    moved = bytes_moved(ClickSizes(IMAGE, SIZE, CLICKS, [(40, 48)] * 2))
    record = {"image": IMAGE, "size": SIZE, "batch": 2, "clicks": CLICKS, "bandwidth": 2e12, "nothing": [1.5]}
    record |= {"bytes": moved, "kernels": {name: [2.0, 4.0, 3.0] for name in moved}}
    record["times"] = {name: [10.0, 30.0, 20.0] for name in NAMES} | {"modulation_torch": [400.0, 600.0]}
    console = Console(width=160)
    for table in tables(record):
        console.print(table)
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*moved, *NAMES.values(), *ASKED.values()))
    row = next(line for line in printed.splitlines() if "mfp_modulate" in line)
    kilobytes = 4 * 2 * (2 * 40 * 48 + 40 * 48) / 1e3
    assert [cell.strip() for cell in row.split("│")[2:-1]] == [
        *("3.00", "3.90", "3.98", f"{kilobytes:.0f}", f"{kilobytes / 2e3:.2f}"),
        f"{3 / (kilobytes / 2e3):.1f}",
    ]
    assert "25.0" in next(line for line in printed.splitlines() if "over kernels, by events" in line)
    del record["times"]["modulation_torch"]  # without PyTorch
    assert len(tables(record)) == 2


def test_without_a_gpu_it_says_so():
    command = [sys.executable, ROOT / "bench/kernels.py"]
    done = subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "this measures a CUDA GPU" in done.stderr
    assert "Traceback" not in done.stderr
    assert gpu_facts("cuda:1000") is None


@pytest.mark.gpu
@pytest.mark.skipif(cuda_driver()[0] == 0, reason=cuda_driver()[1] or "a GPU is there")
def test_a_run_on_a_gpu(tmp_path, capsys):
    pytest.importorskip("cupy")
    path = tmp_path / "kernels.json"
    options = ["--image", "300x400", "--size", "96x128", "--samples", "5", "--output", str(path)]
    assert run.main(options) == 0
    assert "mfp_select_third" in capsys.readouterr().out
    record = json.loads(path.read_text())
    assert record["gpu"]["name"]
    assert record["bandwidth"] > 1e9
    assert set(record["kernels"]) == set(record["bytes"])
    assert record["left_out"] or {"modulation_torch", "modulation_torch_wall"} <= set(record["times"])
    assert set(record["times"]) <= set(NAMES)
    for samples in (*record["kernels"].values(), *record["times"].values()):
        assert len(samples) == 5
        assert min(samples) > 0
