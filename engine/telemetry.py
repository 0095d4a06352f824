"""Telemetry of the libraries that the engine runs on: off, unless the user turns it on (docs/privacy.md).

By default ONNX Runtime reports to Microsoft, OpenVINO's Python package to Google Analytics, and Ray to its makers.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module
from typing import Any

# The libraries read these when they are imported. Processes that this one starts inherit them.
OFF = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}

_hiding = threading.Lock()


def turn_off() -> None:
    """Set the variables that turn telemetry off; one that the user has set stays as it is."""
    for name, value in OFF.items():
        if not os.environ.get(name):
            os.environ[name] = value


def import_silenced(name: str) -> Any:
    """Import a library without the report that its import would send, and without those of its use.

    Raises:
        ImportError: it is not installed.
        Exception: of any class, where a binary package is broken.
    """
    if name == "openvino":
        return _import_openvino()
    library = import_module(name)
    if name == "onnxruntime" and os.environ.get("ORT_DISABLE_TELEMETRY", "").lower() in ("1", "true", "yes"):
        # The variable comes too late where the application imported ONNX Runtime before this package.
        getattr(library, "disable_telemetry_events", lambda: None)()
    return library


def _import_openvino() -> Any:
    """OpenVINO without its package ``openvino_telemetry``, which no variable turns off, but a file in the home folder.

    OpenVINO does without that package where it is not installed, so it is hidden while OpenVINO is imported.
    """
    with _hiding:
        if "openvino" not in sys.modules and not _user_wants_openvinos_reports():
            modules: dict[str, Any] = sys.modules
            before = modules.get("openvino_telemetry")
            modules["openvino_telemetry"] = None  # makes its import an ImportError
            try:
                return import_module("openvino")
            finally:
                del modules["openvino_telemetry"]
                if before is not None:  # the application's own
                    modules["openvino_telemetry"] = before
    return import_module("openvino")


def _user_wants_openvinos_reports() -> bool:
    """Whether the user has turned them on, with OpenVINO's command ``opt_in_out --opt_in``."""
    try:
        consent = import_module("openvino_telemetry.utils.opt_in_checker")
        found = consent.OptInChecker().check(enable_opt_in_dialog=False, disable_in_ci=True)
        return bool(found == consent.ConsentCheckResult.ACCEPTED)
    except Exception:  # not installed, a version that asks in another way, no home folder
        return False
