"""Middleware, from the outside in: request log, access, body limits."""
