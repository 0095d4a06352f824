"""Image files on disk: headers, decoding and label maps."""
