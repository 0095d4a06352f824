"""Script that times the kernels, ``python bench/kernels.py``: see :mod:`mfp.bench.kernel_timing.run`."""

import os
import sys

if __name__ == "__main__":
    # When the file is run by path, this folder comes first in sys.path and its modules would shadow others.
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != os.path.dirname(os.path.realpath(__file__))]

    from mfp.bench.kernel_timing.run import main

    sys.exit(main())
