"""The ``mfp`` command: ``mfp X`` is :mod:`mfp.cli.X`, with an underscore where its name has a space or a hyphen."""
