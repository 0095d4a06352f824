"""Training rounds: a batch of simulated click sequences, each object at its own click.

Every pass of the network takes all objects one round further, and every pass is trained on: no round is computed
only to reach the next. An object that has had its clicks is replaced by another, so one pass holds first clicks as
well as twentieth ones. A round follows the engine (spec section 1):

- round 0, bootstrap: the first click, ``prev = modulated = 0``;
- round 1: the same click, ``prev`` is the probability of round 0, modulated at the click;
- round k: the k-th click at an error of the last probability, which is ``prev`` and is modulated at it.

Most objects are seen first in the whole photograph and then zoomed in, as by a session's region of interest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from numpy.typing import NDArray
from torch import Tensor

from .clicks import disks, next_click
from .modulation import modulate
from .photographs import Photographs, Target, boxes_of
from .views import Colours, cut, on_device, seen_from, zoomed

MAX_CLICKS = 20
ZOOM_ROUND = 2  # a session zooms from the second click on
NEVER = -1
ZOOMED, ZOOMS = 0.25, 0.6  # shares of objects that are zoomed from the start, and that are zoomed later
SQUARE = 0.5  # share of crops that keep the proportions; networks run on undistorted and on square crops
GIVEN = 0.06  # share of objects that start from a given mask
EXACT = 0.5  # share of clicks at the deepest place of an error; the others are at less deep places

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


class Rounds:
    """State of ``slots`` objects that are clicked on at the same time.

    Args:
        photographs: source of the objects.
        draw: function that returns the next ``n`` objects.
        lengths: function that returns the numbers of clicks of the next ``n`` objects, at most 20 each.
        size: height and width in pixels of the network's input; a multiple of 4.
        slots: number of objects.
        device: device as in PyTorch, the one of the photographs.
        seed: seed of all random choices.
        n_early, r_max: N and R_max in pixels (spec section 4).
        simulate: whether views, clicks and colours vary at random, for training; False gives the simulated user of
            an evaluation: whole photograph, then zoom; clicks at the deepest place; true colours.
    """

    def __init__(
        self,
        photographs: Photographs,
        draw: Callable[[int, np.random.Generator], Sequence[Target]],
        lengths: Callable[[int, np.random.Generator], NDArray[np.int64]],
        size: int,
        slots: int,
        device: str,
        seed: Sequence[int],
        n_early: int = 7,
        r_max: float = 100.0,
        simulate: bool = True,
    ) -> None:
        self.photographs, self.draw, self.lengths = photographs, draw, lengths
        self.size, self.slots, self.device = size, slots, device
        self.n_early, self.r_max, self.simulate = n_early, r_max, simulate
        self.rng = np.random.default_rng(list(seed))
        self.generator = torch.Generator(device).manual_seed(int(self.rng.integers(2**62)))
        shape = (slots, 1, size, size)
        self.image = torch.zeros(slots, 3, size, size, device=device)
        self.target = torch.zeros(shape, dtype=torch.bool, device=device)
        self.previous = torch.zeros(shape, device=device)
        self.disks = torch.zeros(slots, 2, size, size, device=device)
        self.points = torch.zeros(slots, MAX_CLICKS, 2, device=device)
        self.positive = torch.zeros(slots, MAX_CLICKS, dtype=torch.bool, device=device)
        self.colours = Colours(slots, device, self.generator)
        # The state that controls the rounds stays on the host, so that nothing waits for the device.
        self.round = np.zeros(slots, np.int64)
        self.clicks = np.zeros(slots, np.int64)  # placed so far
        self.length = np.zeros(slots, np.int64)  # clicks to place
        self.first = np.zeros(slots, np.int64)  # index of the first click: 1 after a given mask
        self.zoom = np.full(slots, NEVER)  # round in which it is zoomed
        self.box, self.flipped = np.zeros((slots, 4)), np.zeros(slots, bool)
        self.targets: list[Target] = [Target(0, np.zeros(256, bool), (0, 0, 1, 1))] * slots
        self._begin(np.arange(slots))
        if simulate:  # spreads the objects over the clicks: the first ones get fewer
            self.length = np.maximum(self.rng.integers(1, self.length + 1), self.length // 4)

    def inputs(self) -> Inputs:
        """The network's inputs in this round: image, prev, modulated, disks."""
        over = np.flatnonzero((self.clicks >= self.length) & (self.round > 1))
        if over.size:
            self._begin(over)
        zooms = np.flatnonzero(self.round == self.zoom)
        if zooms.size:
            self._zoom(zooms)
        self._click(self.round != 1)
        bootstrap = self._tensor(self.round == 0)
        index = np.arange(MAX_CLICKS) + self.first[:, None]
        index[np.arange(MAX_CLICKS) >= self.clicks[:, None]] = -1
        columns = int(self.clicks.max())
        modulated = modulate(
            self.previous[:, 0],
            self.points[:, :columns],
            self.positive[:, :columns],
            self._tensor(index[:, :columns]),
            self.n_early,
            self.r_max,
        )[:, None]
        modulated = torch.where(bootstrap[:, None, None, None], torch.zeros_like(modulated), modulated)
        return self.image, self.previous, modulated, self.disks

    def answer(self, logits: Tensor) -> None:
        """Take the network's logits for the last inputs, (slots, 1, H, W); their sigmoid is the next ``prev``."""
        self.previous = logits.detach().float().sigmoid()
        self.round += 1

    def _click(self, clicking: NDArray[np.bool_]) -> None:
        """Place one more click for each object of ``clicking``."""
        clicking = clicking & (self.clicks < MAX_CLICKS)
        spread = torch.ones(self.slots, device=self.device)
        if self.simulate:
            exact = self.rng.random(self.slots) < EXACT
            spread = self._tensor(np.where(exact, 1.0, self.rng.uniform(0.2, 0.9, self.slots)).astype(np.float32))
        points, positive = next_click(self.target[:, 0], self.previous[:, 0] > 0.5, spread, self.generator)
        rows, places = np.flatnonzero(clicking), self.clicks[clicking]
        who, where = self._tensor(rows), self._tensor(places)
        self.points[who, where], self.positive[who, where] = points[who], positive[who]
        self.clicks[rows] += 1
        disk = disks(points, self.size, self.size) & self._tensor(clicking)[:, None, None]
        sign = torch.stack([positive, ~positive], 1)[:, :, None, None]
        self.disks = torch.maximum(self.disks, (disk[:, None] & sign).float())

    def _begin(self, rows: NDArray[np.int64]) -> None:
        """Put new objects into these slots."""
        count = len(rows)
        targets = self.draw(count, self.rng)
        for row, target in zip(rows.tolist(), targets, strict=True):
            self.targets[row] = target
        boxes, sizes = boxes_of(targets), self._sizes(rows)
        self.round[rows] = self.clicks[rows] = self.first[rows] = 0
        self.length[rows] = np.minimum(self.lengths(count, self.rng), MAX_CLICKS)
        self.zoom[rows] = ZOOM_ROUND
        view = np.concatenate([np.zeros_like(sizes), sizes], 1)
        given = np.zeros(count, bool)
        if self.simulate:
            kind = self.rng.random(count)
            square = self.rng.random((count, 1)) < SQUARE
            near = zoomed(boxes, sizes, self._expansions(count), self.rng.uniform(-0.15, 0.15, (count, 2)), square)
            far = zoomed(
                boxes, sizes, self.rng.uniform(1.6, 5.0, (count, 1)), self.rng.uniform(-0.5, 0.5, (count, 2)), square
            )
            whole = self.rng.random(count) < 0.5
            view = np.where(whole[:, None], view, far)
            view = np.where((kind < ZOOMED)[:, None], near, view)
            self.zoom[rows] = np.where((kind >= ZOOMED) & (kind < ZOOMED + ZOOMS), ZOOM_ROUND, NEVER)
            self.flipped[rows] = self.rng.random(count) < 0.5
            given = self.rng.random(count) < GIVEN
        self.box[rows] = view
        who = self._tensor(rows)
        self.disks[who] = 0.0
        self.previous[who] = 0.0
        if self.simulate:
            self.colours.put(who, Colours(count, self.device, self.generator))
        self._look(rows)
        if given.any():
            self._give(rows[given])

    def _look(self, rows: NDArray[np.int64]) -> None:
        """Crop the images and targets of these slots."""
        maps = np.array([self.targets[row].label_map for row in rows])
        who, boxes = self._tensor(rows), self._tensor(self.box[rows].astype(np.float32))
        flipped, pictures = self._tensor(self.flipped[rows]), self._tensor(self.photographs.picture[maps])
        images = self.photographs.images[pictures].float() / 255
        images = cut(images, boxes, flipped, self.size)
        self.image[who] = self.colours.of(who).paint(images) if self.simulate else images
        chosen = self._tensor(np.stack([self.targets[row].chosen for row in rows]).astype(np.float32))
        labels = self.photographs.labels[self._tensor(maps)]
        objects = chosen.gather(1, labels.flatten(1).long()).view(len(rows), 1, *labels.shape[1:])
        self.target[who] = cut(objects, boxes, flipped, self.size) > 0.5

    def _zoom(self, rows: NDArray[np.int64]) -> None:
        """Zoom in on these objects; the last probability and the clicks move to the new crop."""
        boxes, sizes = boxes_of([self.targets[row] for row in rows]), self._sizes(rows)
        if self.simulate:
            square = self.rng.random((len(rows), 1)) < SQUARE
            closer = zoomed(
                boxes, sizes, self._expansions(len(rows)), self.rng.uniform(-0.1, 0.1, (len(rows), 2)), square
            )
        else:
            closer = zoomed(boxes, sizes)
        who = self._tensor(rows)
        part = self._tensor(seen_from(closer, self.box[rows], self.flipped[rows], self.size).astype(np.float32))
        unflipped = torch.zeros(len(rows), dtype=torch.bool, device=self.device)
        self.previous[who] = cut(self.previous[who], part, unflipped, self.size, "zeros")
        scale = self.size / (part[:, 2:] - part[:, :2])
        points = (self.points[who] + 0.5 - part[:, None, :2]) * scale[:, None] - 0.5
        self.points[who] = points
        self.disks[who] = 0.0
        for place in range(int(self.clicks[rows].max(initial=0))):
            disk = (
                disks(points[:, place], self.size, self.size) & self._tensor(self.clicks[rows] > place)[:, None, None]
            )
            sign = torch.stack([self.positive[who, place], ~self.positive[who, place]], 1)[:, :, None, None]
            self.disks[who] = torch.maximum(self.disks[who], (disk[:, None] & sign).float())
        self.box[rows] = closer
        self._look(rows)

    def _give(self, rows: NDArray[np.int64]) -> None:
        """Start these objects from a mask with large errors, as ``initial_mask`` of a session (spec section 1)."""
        who = self._tensor(rows)
        shape = (len(rows), 1, 8, 8)
        noise = torch.rand(shape, device=self.device, generator=self.generator)
        noise = F.interpolate(noise, size=(self.size, self.size), mode="bicubic")
        self.previous[who] = (self.target[who] ^ (noise > 0.75)).float()
        self.round[rows], self.first[rows], self.zoom[rows] = 2, 1, NEVER

    def _expansions(self, count: int) -> NDArray[np.float64]:
        return self.rng.uniform(1.15, 2.0, (count, 1))

    def _sizes(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        regions = self.photographs.regions
        return np.array([regions[self.targets[row].label_map].size for row in rows], np.float64).reshape(-1, 2)

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return on_device(array, self.device)
