"""Training loop: repeats one pass of the network and one step of the optimizer."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..engine.errors import OptionError
from ..export import checkpoint, models
from ..export.models.blocks import MfpModule
from ..export.models.lite0 import Lite0Network
from . import photographs as data
from .encoder import load_encoder, packaged
from .layout import fastest_layout, laid_out
from .loss import iou, loss
from .options import Options, batch_at, lengths_at, rate_at, size_at
from .rounds import MAX_CLICKS, Rounds
from .saves import check_outputs, log_file, restore, save
from .validation import CLICKS, mean_iou
from .views import on_device

TRUNK_RATE = 0.3  # share of the learning rate for weights from ImageNet
WEIGHT_DECAY = 0.01  # for matrices and kernels
CLIP = 1.0  # largest norm of the gradient
AVERAGE = 0.999  # decay of the moving average of the weights
SAVE_SECONDS, REPORT_SECONDS = 60.0, 10.0
VALIDATIONS = 8
TRIED_FROM = 30.0  # minutes of a run from which cuDNN's algorithms are tried
SAVES = 10  # number of saves in a run that is counted in steps

Report = Callable[[dict[str, Any]], None]


def train(options: Options, report: Report = lambda facts: None) -> list[float]:
    """Train a network and write its checkpoint, the moving average of its weights.

    It also writes beside ``options.output``: a folder ``.resume``, from which an interrupted run continues, and a log
    ``.jsonl`` with one JSON object per line: running loss and IoU by click, and the validations.

    Args:
        options: settings of the run.
        report: callback that receives each line of the log as it is written.

    Returns:
        Mean IoU, in [0, 1], of the held-out objects after the clicks of ``validation.CLICKS``; empty without any.

    Raises:
        OptionError: an option is out of its range, a file cannot be written (reported before the data are read), or
            the loss is not finite.
        DatasetError: the training folder cannot be used.
        CheckpointError: the weights or the save cannot be used.
        RuntimeMissingError: the package with the trunk's weights is not installed.
        KeyboardInterrupt: an interrupt arrived; raised again after a save.
    """
    options.check()
    check_outputs(options.output)
    torch.manual_seed(options.seed)
    # Trying cuDNN's algorithms took 26 s per size on an H100: too long for a short run. The choice may also differ
    # from run to run.
    torch.backends.cudnn.benchmark = (options.minutes or 0.0) >= TRIED_FROM
    network = _network(options).to(options.device)
    full = options.size or min(network.spec.size)
    layout = torch.channels_last  # always on a CPU, so that a repeated run gives the same result
    if options.device != "cpu":
        layout = fastest_layout(network, batch_at(options.batch, full), full, options.device)
    laid_out(network, layout)
    photographs = data.load(options.data, options.device)
    chances = photographs.chances(options.weights)
    average = copy.deepcopy(network).eval()
    network.requires_grad_(True).train()
    optimizer = _optimizer(network, options)
    facts = (restore(options.output, network, average, optimizer) if options.resume else None) or {
        "step": 0,
        "elapsed": 0.0,
        "validations": 0,
    }
    follower = _Follower(average, network)  # after restoring, which changes the values of the tensors in place
    log = log_file(options.output)
    if not facts["step"]:
        _write(log, "w")

    def tell(**line: Any) -> None:
        _write(log, "a", json.dumps(line) + "\n")
        report(line)

    def draw(count: int, rng: np.random.Generator) -> list[data.Target]:
        return [photographs.draw(int(m), rng) for m in rng.choice(photographs.training, count, p=chances)]

    cuda = options.device != "cpu"
    step, begun = facts["step"], time.monotonic() - facts["elapsed"]
    saved = reported = time.monotonic()
    scores: list[float] = []
    rounds: Rounds | None = None
    progress = 0.0
    meter = _Meter(options.device)
    tell(step=step, settings={**{key: str(value) for key, value in asdict(options).items()}, "layout": str(layout)})
    every = max((options.steps or 0) // SAVES, 1) if options.steps else None

    def validate() -> list[float]:
        if not options.validate or not len(photographs.held_out):
            return []
        with torch.autocast("cuda", torch.bfloat16, enabled=cuda):
            found = mean_iou(average, photographs, options.validate, full, 32 if cuda else 8, options.device)
        tell(
            step=step,
            elapsed=round(time.monotonic() - begun, 1),
            validation={str(clicks): round(score, 4) for clicks, score in zip(CLICKS, found, strict=True)},
        )
        return found

    def keep() -> None:
        facts.update(step=step, elapsed=time.monotonic() - begun)
        save(options.output, network, average, optimizer, facts)
        checkpoint.write_checkpoint(options.output, average)

    try:
        while (progress := options.progress(step, time.monotonic() - begun)) < 1.0:
            size = size_at(progress, full, network.spec.any_size)
            if rounds is None or rounds.size != size:
                rounds = Rounds(
                    photographs,
                    draw,
                    lambda count, rng: lengths_at(progress, count, rng),
                    size,
                    batch_at(options.batch, size),
                    options.device,
                    (options.seed, step),
                    network.spec.n_early,
                    network.spec.r_max,
                )
            rate = rate_at(progress)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate
            with torch.no_grad():
                inputs = rounds.inputs()
            clicks = rounds.clicks * (rounds.round > 0)
            with torch.autocast("cuda", torch.bfloat16, enabled=cuda):
                logits = network(*inputs)
            error = loss(logits, rounds.target)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(error)
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            follower.step(min(AVERAGE, (1 + step) / (10 + step)))
            with torch.no_grad():
                meter.add(error.detach(), iou(logits.detach(), rounds.target), clicks)
                rounds.answer(logits)
            step += 1

            now = time.monotonic()
            due = step % every == 0 if every else now - saved > SAVE_SECONDS
            if now - reported > REPORT_SECONDS or (every and due):
                tell(
                    step=step,
                    elapsed=round(now - begun, 1),
                    progress=round(progress, 4),
                    size=size,
                    rate=rate,
                    samples_per_second=round(meter.samples / (now - reported), 1),
                    **meter.read(),
                )
                reported = now
            if progress * VALIDATIONS >= facts["validations"] + 1:
                facts["validations"] += 1
                scores = validate()
                reported, meter = time.monotonic(), _Meter(options.device)
            if due:
                keep()
                # The rounds begin again where a resumed run would begin them, so both take the same course.
                rounds, saved = None, time.monotonic()
    except KeyboardInterrupt:
        keep()
        raise
    scores = validate()
    keep()
    return scores


def _write(log: Path, mode: str, text: str = "") -> None:
    try:
        with log.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OptionError(
            f"cannot write the log {log}: {error.strerror}; once it can be written, --resume goes on from the last save"
        ) from None


def _network(options: Options) -> MfpModule:
    if options.init is not None:
        return checkpoint.load(options.init, backbone=options.backbone)
    if options.backbone is None:
        raise OptionError("expected a backbone, or a checkpoint to start from; got neither")
    network = models.build(options.backbone)
    if isinstance(network, Lite0Network):
        load_encoder(network.encoder, options.encoder or packaged())
    return network


def _optimizer(network: MfpModule, options: Options) -> torch.optim.Optimizer:
    groups = []
    for pretrained in (True, False):
        for decay in (True, False):
            parameters = [
                parameter
                for name, parameter in network.named_parameters()
                if (name.startswith("encoder.") and options.init is None) == pretrained
                and (parameter.ndim > 1) == decay
            ]
            rate = options.rate * (TRUNK_RATE if pretrained else 1.0)
            if parameters:
                groups.append(
                    {
                        "params": parameters,
                        "lr": rate,
                        "initial_lr": rate,
                        "weight_decay": WEIGHT_DECAY if decay else 0.0,
                    }
                )
    return torch.optim.AdamW(groups, fused=options.device != "cpu")


class _Follower:
    """Moving average of the weights, BatchNorm's statistics included."""

    def __init__(self, average: MfpModule, network: MfpModule) -> None:
        pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
        floats = [(mean, new) for mean, new in pairs if mean.is_floating_point()]
        self.average, self.weights = [mean for mean, _ in floats], [new for _, new in floats]

    @torch.no_grad()
    def step(self, keep: float) -> None:
        torch._foreach_lerp_(self.average, self.weights, 1.0 - keep)


class _Meter:
    """Running loss and IoU by number of clicks; sums stay on the device and are read rarely."""

    def __init__(self, device: str) -> None:
        self.device, self.samples, self.steps = device, 0, 0
        self.error = torch.zeros((), device=device)
        self.sums = torch.zeros(2, MAX_CLICKS + 1, device=device)

    def add(self, error: torch.Tensor, scores: torch.Tensor, clicks: np.ndarray[Any, Any]) -> None:
        places = on_device(clicks, self.device)
        self.error += error
        self.sums.index_add_(1, places, torch.stack([scores.float(), torch.ones_like(scores, dtype=torch.float32)]))
        self.samples, self.steps = self.samples + len(clicks), self.steps + 1

    def read(self) -> dict[str, Any]:
        """Mean loss, and mean IoU by number of clicks (0: bootstrap), since the last reading.

        Raises:
            OptionError: the loss is not finite any more.
        """
        error = float(self.error) / max(self.steps, 1)
        total, count = self.sums.tolist()
        self.__init__(self.device)  # type: ignore[misc]
        if not np.isfinite(error):
            raise OptionError(
                f"expected a finite loss, got {error}: train with a lower learning rate, from the last save"
            )
        return {"loss": round(error, 4), "iou": {k: round(total[k] / n, 3) for k, n in enumerate(count) if n}}
