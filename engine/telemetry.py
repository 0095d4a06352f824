"""Switch for the telemetry of the engine's libraries: off, unless the user turns it on (docs/privacy.md).

By default ONNX Runtime reports to Microsoft, OpenVINO's Python package to Google Analytics, and Ray to its makers.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module
from typing import Any

# The libraries read these variables on import. Child processes inherit them.
OFF = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}

_hiding = threading.Lock()


def turn_off() -> None:
    """Set the variables that turn telemetry off; a variable that the user has set is kept."""
    for name, value in OFF.items():
        if not os.environ.get(name):
            os.environ[name] = value


def import_silenced(name: str) -> Any:
    """Import a library without the reports that its import and its use would send.

    Raises:
        ImportError: the library is not installed.
        Exception: any class, if a binary package is broken.
    """
    if name == "openvino":
        return _import_openvino()
    library = import_module(name)
    if name == "onnxruntime" and os.environ.get("ORT_DISABLE_TELEMETRY", "").lower() in ("1", "true", "yes"):
        # The variable is too late if the application imported ONNX Runtime before this package.
        getattr(library, "disable_telemetry_events", lambda: None)()
    return library


def _import_openvino() -> Any:
    """Import OpenVINO without its package ``openvino_telemetry``, which only a file in the home folder turns off.

    OpenVINO works without that package, so the package is hidden during the import.
    """
    with _hiding:
        if "openvino" not in sys.modules and not _user_wants_openvinos_reports():
            modules: dict[str, Any] = sys.modules
            before = modules.get("openvino_telemetry")
            modules["openvino_telemetry"] = None  # makes importing it an ImportError
            try:
                return import_module("openvino")
            finally:
                del modules["openvino_telemetry"]
                if before is not None:  # imported by the application
                    modules["openvino_telemetry"] = before
    return import_module("openvino")


def _user_wants_openvinos_reports() -> bool:
    """Whether the user has opted in to reports, with OpenVINO's command ``opt_in_out --opt_in``."""
    try:
        consent = import_module("openvino_telemetry.utils.opt_in_checker")
        found = consent.OptInChecker().check(enable_opt_in_dialog=False, disable_in_ci=True)
        return bool(found == consent.ConsentCheckResult.ACCEPTED)
    except Exception:  # not installed, a version with another opt-in, no home folder
        return False
