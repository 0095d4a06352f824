"""TensorRT plans: the file they are kept in, the cache of what was built."""
