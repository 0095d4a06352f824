"""Benchmarks of the server: load, clients, page and cluster."""
