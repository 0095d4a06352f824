"""Sessions of one process: logs in a store, and the masks computed from them."""
