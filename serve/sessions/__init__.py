"""Sessions of one process: from their logs in a store to masks."""
