"""The HTTP server: an annotation page, an API, and sessions that survive a crash (docs/serving.md)."""
