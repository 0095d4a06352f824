"""``python engine/build.py`` is ``mfp build``."""

import sys

from mfp.engine.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("build", prog="build.py"))
