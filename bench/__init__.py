"""Benchmarks: latency of clicks and accuracy on data sets."""
