"""HTTP and WebSocket: routes, errors as answers, logs, metrics, shutdown."""
