"""Latency of clicks: every runtime beside the authors' way (`mfp bench`)."""
