"""Entry point ``python engine/build.py``, the same as ``mfp build``."""

import os
import sys

if __name__ == "__main__":
    # This folder comes first when the file is run by path, and its modules would hide others of the same names.
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != os.path.dirname(os.path.realpath(__file__))]

    from mfp.cli.main import run_command

    sys.exit(run_command("build", prog="build.py"))
