"""Adapters for annotation tools. Each module implements one tool's protocol, on top of :mod:`.replay`.

``anylabeling`` and ``label_studio`` offer ``router(…)``, which the server mounts; ``cvat`` is for a nuclio function
(deploy/cvat). docs/annotation_tools.md documents the set-up of each.
"""
