"""Shared by all command lines, those of ``cli/`` and of the benches: arguments, console output, errors as one line."""
