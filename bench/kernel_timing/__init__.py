"""Timing of the kernels on a CUDA GPU (`python bench/kernels.py`)."""
