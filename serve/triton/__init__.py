"""Sessions on NVIDIA's Triton Inference Server (docs/annotation_tools.md).

``repository`` writes the files that Triton serves, ``model`` runs in its Python backend.
"""
