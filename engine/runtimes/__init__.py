"""The runtimes, one file each. Each offers ``open(source, options) -> Network`` and imports its library when opened."""
