"""``python bench/latency.py``: see :mod:`mfp.bench.click_latency`."""

import sys

from mfp.bench.click_latency import main

if __name__ == "__main__":
    sys.exit(main())
