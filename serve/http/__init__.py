"""HTTP and WebSocket: routes, error responses, logs, metrics, shutdown."""
