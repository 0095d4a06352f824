"""The sub-commands of ``mfp`` that need nothing above the engine; one file each."""
