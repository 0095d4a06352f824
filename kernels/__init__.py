"""The arithmetic of a click: disks, modulation, resampling. Knows nothing of the rest of the project."""
