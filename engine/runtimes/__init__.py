"""One file a runtime; each offers ``open(source, options) -> Network`` and imports its library when opened."""
