"""The arithmetic of a click: disks, modulation, resampling. Independent of the rest of the project."""
