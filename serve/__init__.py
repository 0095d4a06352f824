"""Sessions over HTTP: a page to click on, an API, and what keeps them through a crash (docs/serving.md)."""
