"""Shared parts of all command lines, in ``cli/`` and the benches: arguments, console output, one-line errors."""
