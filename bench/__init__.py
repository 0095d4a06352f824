"""Measurements: latency of clicks, accuracy on data sets."""
