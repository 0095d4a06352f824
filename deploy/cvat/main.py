"""MFP as an interactor of CVAT, in nuclio: function.yaml says how it is built."""

import json
import os
from typing import Any

from mfp import load_network
from mfp.engine.errors import MfpError
from mfp.serve.adapters.cvat import Interactor


def init_context(context: Any) -> None:
    network = load_network(os.environ.get("MFP_NETWORK", "lite0"))
    context.user_data.interactor = Interactor(network)
    context.logger.info(f"MFP is ready: {network!r}, {network.choice}")


def handler(context: Any, event: Any) -> Any:
    try:
        status, body = 200, context.user_data.interactor(event.body)
    except MfpError as error:  # of the request; anything else is nuclio's to report
        status, body = 400, json.dumps({"error": type(error).__name__, "message": str(error)})
    return context.Response(body=body, headers={}, content_type="application/json", status_code=status)
