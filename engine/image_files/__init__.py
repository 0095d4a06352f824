"""Image files on disk: headers, decoding, label maps, folders of them."""
