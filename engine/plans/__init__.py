"""TensorRT plans: the build, the ``.plan`` file and the cache of built engines."""
