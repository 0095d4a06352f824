"""Script that measures latency: ``python bench/latency.py`` runs ``mfp bench``."""

import os
import sys

if __name__ == "__main__":
    # When the file is run by path, this folder comes first in sys.path and its modules would shadow others.
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != os.path.dirname(os.path.realpath(__file__))]

    from mfp.cli.main import run_command

    sys.exit(run_command("bench", prog="latency.py"))
