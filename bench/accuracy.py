"""Public names of the evaluation protocol; ``python bench/accuracy.py`` runs ``mfp eval``.

The code is in :mod:`mfp.bench.evaluation.protocol` (simulated user, IoU, NoC) and :mod:`mfp.cli.eval`.
"""

import os
import sys

if __name__ == "__main__":
    # When the file is run by path, this folder comes first in sys.path and its modules would shadow others.
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != os.path.dirname(os.path.realpath(__file__))]

from mfp.bench.evaluation.protocol import (
    NoC,
    area_under_curve,
    mean_iou_curve,
    next_click,
    noc,
    play,
    run_object,
    truth_from_trimap,
)
from mfp.bench.overlap import iou

__all__ = [
    "NoC",
    "area_under_curve",
    "iou",
    "mean_iou_curve",
    "next_click",
    "noc",
    "play",
    "run_object",
    "truth_from_trimap",
]

if __name__ == "__main__":
    from mfp.cli.main import main

    sys.exit(main(["eval", *sys.argv[1:]]))
