"""The server under load, its clients, its page, and its cluster."""
