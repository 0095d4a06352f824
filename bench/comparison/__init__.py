"""Two networks on the same clicks (`mfp compare`)."""
