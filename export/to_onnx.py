"""``python export/to_onnx.py`` is ``mfp export``."""

import sys

from mfp.engine.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("export", prog="to_onnx.py"))
