"""Script form of ``mfp export``: ``python export/to_onnx.py`` runs the same command."""

import os
import sys

if __name__ == "__main__":
    # Python puts this folder first on the path of a script; its modules would hide others of the same names.
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != os.path.dirname(os.path.realpath(__file__))]

    from mfp.cli.main import run_command

    sys.exit(run_command("export", prog="to_onnx.py"))
