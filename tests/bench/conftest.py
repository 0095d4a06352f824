"""Latency records with made-up samples, in the form that `mfp bench` writes."""

import numpy as np
import pytest

from mfp.bench.timing.cases import all_runs
from mfp.bench.timing.networks import SEED
from mfp.bench.timing.record import new_record, new_run

BACKBONES = {"hrnet18": 900.0, "vit_b": 1700.0}  # milliseconds of a later click of the authors' way
SHARES = {"crop": 0.01, "encode": 0.002, "modulate": 0.008, "paste": 0.01}  # of a click; the rest is the network


@pytest.fixture(scope="session")
def latency_record():
    """``latency_record(device="cpu", clicks=24, seed=0, pace=None)``: a finished record.

    Noise that meets all runs lasts for four clicks. ``pace``: by name of a run, how many times as fast it is as it
    would be by its place.
    """

    def make(device="cpu", clicks=24, seed=0, pace=None):
        rng = np.random.default_rng(seed)
        gpu = {"name": "GPU of a test", "compute_capability": [9, 0], "driver": "580.1"}
        machine = {
            "processor": "Processor | of a_test",
            "half_precision": ["avx512_bf16"],
            "cores": 2,
            "system": "Linux x86_64",
            "python": "3.12.3",
            "versions": {"onnxruntime": "1.32.0", "openvino": None},
            "commit": "abc1234",
            "date": "2026-11-23T04:00:00+00:00",
            "gpu": None if device == "cpu" else gpu,
        }
        settings = {
            "backbones": list(BACKBONES), "runtimes": None, "compile": False, "flip": True, "seed": SEED,
            "clicks": clicks, "warmup": 3, "sessions": [1, 4], "photograph": [1080, 1920], "device": device,
            "checkpoints": {}, "peers": [],
        }  # fmt: skip
        record = new_record(machine, settings)
        record["ceilings"] = {"matrix_product_gflops": {"fp32": 300.0}, "copy_gb_per_s": 20.0}
        chosen = [run for run in all_runs(device) if run.runtime in ("torch", "onnxruntime", "openvino")]
        for backbone, milliseconds in BACKBONES.items():
            record["networks"][backbone] = {
                "size": [320, 480], "gflop": 75.0, "weight_bytes": 42e6, "tensor_bytes": 9e8,
                "weights": "untrained, seed 0",
            }  # fmt: skip
            shared = np.exp(np.repeat(rng.normal(0, 0.1, clicks), 4)[:clicks])
            for place, chosen_run in enumerate(chosen):
                faster = (pace or {}).get(chosen_run.name, 1) * (1 + place / 3)
                totals = milliseconds / faster * shared * np.exp(rng.normal(0, 0.01, clicks))
                run = new_run(backbone, chosen_run, device)
                run["later"] = [_row(total) for total in totals.tolist()]
                run["first"] = [_row(2 * total) for total in totals[::8].tolist()]
                if device != "cpu" and chosen_run.way == "engine":
                    run["stages"] = {"first": run["first"], "later": [{**row, "copy": 0.02} for row in run["later"]]}
                    run["later"] = [{"device": row["total"], "total": row["total"]} for row in run["later"]]
                run["cold"] = {"import_s": 1.1, "load_s": 0.8, "first_click_ms": 2 * milliseconds}
                run["memory"] = {"process_bytes": 900e6, "device_bytes": None if device == "cpu" else 700e6}
                run["throughput"] = {"1": 1e3 / milliseconds, "4": 1.5e3 / milliseconds}
                run["agreement"] = {"iou_mean": 0.9987, "iou_min": 0.9912}
                record["runs"].append(run)
        record["left_out"] = {"tensorrt": "runs on CUDA GPUs alone", "sam2": "`no` <b>|\nweights <!-- /bench -->"}
        record["finished"] = True
        return record

    return make


def _row(total):
    stages = {name: share * total for name, share in SHARES.items()}
    return {**stages, "network": total - sum(stages.values()) - 0.1, "total": total}
