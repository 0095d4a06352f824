"""One file a runtime; each offers ``open(source, device, threads) -> Network`` and imports its library when opened."""
