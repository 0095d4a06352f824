"""The history of a session: its clicks and those undone, and how the map after any of them is painted again.

A step's map is pasted into its region alone, so the image's map after a step is that of all steps before it, one pasted
over another. To paste a few at most, every :data:`SPACING` steps leave a checkpoint: a copy of the image's map. A step
whose region is the whole image needs none, as nothing before it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..kernels.clicks import Click
from .mask import Mask
from .pipelines.pipeline import Checkpoint, ClickTiming, Pipeline, Step
from .roi import Roi, hull, whole

SPACING = 8  # steps from one checkpoint to the next: undo pastes fewer
BUDGET = 256 * 2**20  # bytes of maps and checkpoints; what the next undo and redo need is kept beyond it


class History:
    """Does and takes back the clicks of one object.

    A call that raises leaves the clicks as they were. Where it has painted by then, the next call first paints the map
    that belongs to them.

    Args:
        pipeline: at its start.
        height, width: of the image.

    Attributes:
        steps: the clicks that count, in order.
        undone: those that redo brings back, the next of them last.
    """

    def __init__(self, pipeline: Pipeline, height: int, width: int) -> None:
        self._pipeline = pipeline
        self._everything = whole(height, width)
        self.steps: list[Step] = []
        self.undone: list[Step] = []
        self._stale = False  # whether the pipeline's map may be another than that of the steps

    @property
    def nbytes(self) -> int:
        """Of maps and checkpoints, those of undone steps too."""
        return sum(step.nbytes for step in (*self.steps, *self.undone))

    def click(self, click: Click, roi: Roi, timing: ClickTiming) -> Mask:
        step = Step(click, roi, None)
        self._stale = True
        try:
            self._run(self.steps, step, timing)
        except Exception:  # by its promise the pipeline has not painted then; by Ctrl-C it may have
            self._stale = False
            raise
        with timing.stage("paste"):
            return self._take([*self.steps, step], [])

    def undo(self) -> Mask:
        *steps, last = self.steps
        before = None
        if self._passes(steps):  # a pass can fail, now and again: what the map is now may not be to be had again
            before = self._checkpoint(self._everything)
        self._stale = True
        try:
            self._paint(steps)
        except BaseException:
            if before is not None:
                self._pipeline.restore(before)
                self._stale = False
            raise
        last.checkpoint = None
        return self._take(steps, [*self.undone, last])

    def redo(self) -> Mask:
        *undone, step = self.undone
        self._stale = True
        if step.map is not None:
            self._pipeline.paste([step])
        else:
            try:
                self._run(self.steps, step, ClickTiming())
            except Exception:
                self._stale = False
                raise
        return self._take([*self.steps, step], undone)

    def reset(self) -> None:
        """Take all clicks back for good."""
        self._stale = True
        self._pipeline.start()
        self.clear()
        self._stale = False

    def clear(self) -> None:
        """Forget all clicks; :meth:`repaint` is to follow."""
        self.steps, self.undone, self._stale = [], [], True

    def repaint(self) -> None:
        """After a call that raised: see to it that the map is that of the clicks."""
        if self._stale:
            self._paint(self.steps)
            self._stale = False

    def _take(self, steps: list[Step], undone: list[Step]) -> Mask:
        """What has been painted becomes what counts."""
        mask = self._pipeline.mask()
        self.steps, self.undone, self._stale = steps, undone, False
        self._keep(steps)
        return mask

    def _run(self, before: Sequence[Step], step: Step, timing: ClickTiming) -> None:
        """A step's click anew; without memory for its map, at the cost of all others."""
        clicks = [*(earlier.click for earlier in before), step.click]
        try:
            step.map = self._pipeline.click(step.roi, clicks, timing)
            return
        except MemoryError:
            held = [other for other in (*self.steps, *self.undone) if other.nbytes]
            if not held:
                raise
            for other in held:  # what undo and redo would like to have; they can do without
                other.drop()
        step.map = self._pipeline.click(step.roi, clicks, timing)

    def _paint(self, steps: Sequence[Step]) -> None:
        """Make the image's map that of these steps."""
        shown = self._shown(steps)
        checkpoint = steps[shown - 1].checkpoint if shown else None
        if checkpoint is not None:
            self._pipeline.restore(checkpoint)
        elif shown:
            shown -= 1  # the step that covers everything is pasted like others
        else:
            self._pipeline.start()
        for without, few in groupby(range(shown, len(steps)), lambda i: steps[i].map is None):
            if not without:
                self._pipeline.paste([steps[i] for i in few])
                continue
            for i in few:
                self._run(steps[:i], steps[i], ClickTiming())
                self._keep(steps[: i + 1])

    def _shown(self, steps: Sequence[Step]) -> int:
        """After how many of the steps the map can be had without any before them; 0: only at the start."""
        for count in range(len(steps), 0, -1):
            step = steps[count - 1]
            if step.checkpoint is not None or (step.roi == self._everything and step.map is not None):
                return count
        return 0

    def _passes(self, steps: Sequence[Step]) -> bool:
        """Whether the network must run for the map of these steps."""
        return any(step.map is None for step in steps[self._shown(steps) :])

    def _keep(self, steps: Sequence[Step]) -> None:
        """With the map of these steps painted: leave a checkpoint where one is due, and stay within the budget."""
        shown = self._shown(steps)
        since = steps[shown:]
        if len(since) >= SPACING or any(step.map is None for step in since):
            region, under = since[0].roi, None
            if shown:
                last = steps[shown - 1]
                under = last.map
                if last.checkpoint is not None:
                    region, under = last.checkpoint.region, last.checkpoint.under
            for step in since:
                region = hull(region, step.roi)
            steps[-1].checkpoint = self._checkpoint(region, under)
        excess = self.nbytes - BUDGET
        # An undone step costs one pass to have again, a step on the way to the next undo one for each before it.
        for step in (*self.undone[:-1], *steps[: max(self._shown(steps[:-1]) - 1, 0)]):
            if excess <= 0:
                break
            excess -= step.nbytes
            step.drop()

    def _checkpoint(self, region: Roi, under: object = None) -> Checkpoint | None:
        try:
            return Checkpoint(region, self._pipeline.copy(region), under)
        except MemoryError:
            return None  # undo pastes more, then
