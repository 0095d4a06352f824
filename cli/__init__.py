"""The ``mfp`` command: ``mfp X`` runs :mod:`mfp.cli.X`, with an underscore for a space or hyphen in its name."""
