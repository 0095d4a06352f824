"""The history of a session: its clicks, its undone clicks, and the reconstruction of the map after any of them.

A step's map is pasted into its region only, so the image's map after a step is the maps of all steps up to it, pasted
one over another. To bound the number of pastes, every :data:`SPACING` steps leave a checkpoint: a copy of the image's
map. A step whose region is the whole image needs none, as it hides everything before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..kernels.clicks import Click
from .mask import Mask
from .pipelines.pipeline import Checkpoint, ClickTiming, Pipeline, Step
from .roi import Roi, hull, whole

SPACING = 8  # steps from one checkpoint to the next; undo pastes fewer
BUDGET = 256 * 2**20  # bytes of maps and checkpoints; data for the next undo and redo are kept beyond it


class History:
    """Applies, undoes and redoes the clicks of one object.

    A call that raises leaves the clicks unchanged. If it has painted already, the next call first repaints the map
    of those clicks.

    Args:
        pipeline: array work of the image, in its start state.
        height, width: size of the image in pixels.

    Attributes:
        steps: active clicks, in order.
        undone: clicks that redo brings back; the next one is last.
    """

    def __init__(self, pipeline: Pipeline, height: int, width: int) -> None:
        self._pipeline = pipeline
        self._everything = whole(height, width)
        self.steps: list[Step] = []
        self.undone: list[Step] = []
        self._stale = False  # True if the pipeline's map may differ from that of the steps

    @property
    def nbytes(self) -> int:
        """Bytes of maps and checkpoints, those of undone steps included."""
        return sum(step.nbytes for step in (*self.steps, *self.undone))

    def click(self, click: Click, roi: Roi, timing: ClickTiming) -> Mask:
        step = Step(click, roi, None)
        self._stale = True
        try:
            self._run(self.steps, step, timing)
        except Exception:  # the pipeline promises not to have painted; after Ctrl-C it may have
            self._stale = False
            raise
        with timing.stage("paste"):
            return self._take([*self.steps, step], [])

    def undo(self) -> Mask:
        *steps, last = self.steps
        before = None
        if self._passes(steps):  # a pass can fail, and the present map may then be impossible to rebuild
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
        """Drop all clicks permanently."""
        self._stale = True
        self._pipeline.start()
        self.clear()
        self._stale = False

    def clear(self) -> None:
        """Forget all clicks. The caller must call :meth:`repaint` afterwards."""
        self.steps, self.undone, self._stale = [], [], True

    def repaint(self) -> None:
        """Repaint the map of the current clicks if a call that raised left another one."""
        if self._stale:
            self._paint(self.steps)
            self._stale = False

    def _take(self, steps: list[Step], undone: list[Step]) -> Mask:
        """Make the painted steps the current ones."""
        mask = self._pipeline.mask()
        self.steps, self.undone, self._stale = steps, undone, False
        self._keep(steps)
        return mask

    def _run(self, before: Sequence[Step], step: Step, timing: ClickTiming) -> None:
        """Run a step's click again. If memory is short, free the maps of all other steps and try once more."""
        clicks = [*(earlier.click for earlier in before), step.click]
        try:
            step.map = self._pipeline.click(step.roi, clicks, timing)
            return
        except MemoryError:
            held = [other for other in (*self.steps, *self.undone) if other.nbytes]
            if not held:
                raise
            for other in held:  # undo and redo use these maps, but work without them
                other.drop()
        step.map = self._pipeline.click(step.roi, clicks, timing)

    def _paint(self, steps: Sequence[Step]) -> None:
        """Set the image's map to that of these steps."""
        shown = self._shown(steps)
        checkpoint = steps[shown - 1].checkpoint if shown else None
        if checkpoint is not None:
            self._pipeline.restore(checkpoint)
        elif shown:
            shown -= 1  # the step that covers the whole image is pasted like the others
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
        """Number of leading steps after which the map is known without any earlier step; 0: only at the start."""
        for count in range(len(steps), 0, -1):
            step = steps[count - 1]
            if step.checkpoint is not None or (step.roi == self._everything and step.map is not None):
                return count
        return 0

    def _passes(self, steps: Sequence[Step]) -> bool:
        """Whether the network must run for the map of these steps."""
        return any(step.map is None for step in steps[self._shown(steps) :])

    def _keep(self, steps: Sequence[Step]) -> None:
        """Make a checkpoint if one is due after the map of these steps is painted, and keep within the budget."""
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
        # An undone step costs one pass to rebuild; a step before the next undo costs one pass for each step before it.
        for step in (*self.undone[:-1], *steps[: max(self._shown(steps[:-1]) - 1, 0)]):
            if excess <= 0:
                break
            excess -= step.nbytes
            step.drop()

    def _checkpoint(self, region: Roi, under: object = None) -> Checkpoint | None:
        try:
            return Checkpoint(region, self._pipeline.copy(region), under)
        except MemoryError:
            return None  # undo then pastes more steps
