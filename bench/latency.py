"""``python bench/latency.py`` is ``mfp bench``."""

import sys

from mfp.engine.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("bench", prog="latency.py"))
