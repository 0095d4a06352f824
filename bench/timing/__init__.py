"""Latency of clicks on every runtime, compared with the baseline, the authors' release (`mfp bench`)."""
