"""The tools that annotators already have. Each module speaks one tool's protocol, over :mod:`.replay`.

``anylabeling`` and ``label_studio`` offer ``router(…)``, which the server mounts; ``cvat`` is for a nuclio function
(deploy/cvat). docs/annotation_tools.md says how each is set up.
"""
