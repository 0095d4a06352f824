"""Comparison of two networks on the same clicks (`mfp compare`)."""
