"""``python bench/kernels.py``: see :mod:`mfp.bench.kernel_times`."""

import sys

from mfp.bench.kernel_times import main

if __name__ == "__main__":
    sys.exit(main())
