"""Remote server for X-AnyLabeling, version 1 of its API: ``/v1/models`` and ``/v1/predict``.

X-AnyLabeling sends the image and all points after each click, and draws the polygons of the reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ...engine.errors import ClickError, ImageError, MfpError, OptionError
from ...engine.mask import Mask
from ..errors import TooLargeError, TooManyError, UnavailableError
from ..http import error_responses, logs
from .base64_image import image_bytes
from .replay import ClickAt, Replay

LABEL = "AUTOLABEL_OBJECT"  # label of the client's preview; the user names the object with "Finish"
FINENESS = 0.001  # default fineness of an outline, as a fraction of its length

# Controls that the client shows. The slider starts at 10 of 100, the client's own default.
WIDGETS = [
    {"name": "button_add_point", "value": None},
    {"name": "button_remove_point", "value": None},
    {"name": "button_clear", "value": None},
    {"name": "button_finish_object", "value": None},
    {"name": "mask_fineness_slider", "value": 10},
    {"name": "mask_fineness_value_label", "value": None},
    # Ticked, because otherwise the client removes all other objects from the image when a request fails.
    {"name": "toggle_preserve_existing_annotations", "value": True},
]


class PredictRequest(BaseModel):
    """One click's request.

    Attributes:
        model: a network's name.
        image: image file as base64 or data URI.
        params: ``marks``, the points; ``epsilon_factor``, how much an outline may be simplified, as a fraction of its
            length. The client's other parameters belong to other models.
    """

    model: str
    image: str
    params: dict[str, Any] = {}


def router(replays: Mapping[str, Replay]) -> APIRouter:
    """Router with the client's routes.

    Args:
        replays: replays by the networks' names; the first one is the client's default model.
    """
    routes = APIRouter(tags=["X-AnyLabeling"])

    @routes.get("/health", name="x_anylabeling_health")
    def health() -> dict[str, Any]:
        return {"status": "healthy", "models_loaded": len(replays)}

    @routes.get("/v1/models", name="x_anylabeling_models")
    def models() -> dict[str, Any]:
        return {"success": True, "data": {name: _model(name, replay) for name, replay in replays.items()}}

    @routes.post("/v1/predict", name="x_anylabeling_predict")
    def predict(request: PredictRequest) -> Any:  # not async: FastAPI runs it in a thread
        if request.model not in replays:
            return _error(404, "MODEL_NOT_FOUND", f"no network {request.model!r} here, only {', '.join(replays)}")
        try:
            return {"success": True, "data": _predict(replays[request.model], request)}
        except TooLargeError as error:
            return _error(413, "INVALID_IMAGE", str(error))
        except ImageError as error:
            return _error(400, "INVALID_IMAGE", str(error))
        except (TooManyError, UnavailableError) as error:
            return _error(error_responses.answer(error)[0], "INFERENCE_ERROR", str(error))
        except MfpError as error:
            return _error(400, "INFERENCE_ERROR", str(error))

    return routes


def _error(status: int, code: str, message: str) -> JSONResponse:
    # For a status above 399 the client shows the number and HTTP's reason phrase, for 200 nothing: only the log has the
    # message (docs/annotation_tools.md).
    logs.note(error=code, message=message)
    return JSONResponse({"success": False, "error": {"code": code, "message": message}}, status)


def _model(name: str, replay: Replay) -> dict[str, Any]:
    info = replay.network.info
    return {
        "display_name": f"MFP {name}" if info.trained else f"MFP {name} (untrained)",
        "widgets": WIDGETS,
        "params": {"epsilon_factor": FINENESS},
        "capabilities": {},
        "batch_processing_mode": None,  # an image without clicks has no result
    }


def _predict(replay: Replay, request: PredictRequest) -> dict[str, Any]:
    clicks = _clicks(request.params.get("marks") or [])
    fineness = request.params.get("epsilon_factor", FINENESS)
    if not isinstance(fineness, (int, float)) or not 0 <= fineness < 1:
        raise OptionError(f"expected an epsilon_factor from 0 to below 1, got {fineness!r}")
    shapes = []
    if clicks:
        with replay.image(image_bytes(request.image)) as image:
            answer = image.predict(clicks)
        shapes = [
            {"label": LABEL, "shape_type": "polygon", "points": points, "score": answer.score}
            for points in polygons(answer.mask, float(fineness))
        ]
    return {"shapes": shapes, "description": "", "replace": False}  # other objects on the image stay


def _clicks(marks: Any) -> list[ClickAt]:
    """The client's points as clicks, in its order."""
    clicks: list[ClickAt] = []
    for mark in marks if isinstance(marks, list) else [marks]:
        match mark:
            case {"type": "point", "data": [int() | float() as x, int() | float() as y], **rest}:
                label = rest.get("label", 1)
                if not isinstance(label, int) or label not in (0, 1):
                    raise OptionError(f"expected the label 1 (object) or 0 (background) of a point, got {label!r:.200}")
                clicks.append((_coordinate(x), _coordinate(y), label == 1))
            case {"type": "rectangle"}:
                raise OptionError("MFP takes points, not rectangles: add a point inside the object")
            case _:
                raise OptionError(
                    f'expected marks of {{"type": "point", "data": [x, y], "label": 1 or 0}}, got {mark!r:.200}'
                )
    return clicks


def _coordinate(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ClickError("expected coordinates inside the image, got one of hundreds of digits") from None


def polygons(mask: Mask, fineness: float) -> list[list[list[float]]]:
    """Outlines as the client draws and fills them: closed, through the centres of the outermost pixels, holes filled.

    Args:
        mask: the object's mask.
        fineness: largest distance between an outline and the mask's, as a fraction of its length; 0: exact.

    Returns:
        A list of points x, y in pixels for each part of the mask that is more than a line; the first point is repeated
        at the end.
    """
    import cv2
    import numpy as np

    outlines, _ = cv2.findContours(mask.array.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for outline in outlines:
        simple = cv2.approxPolyDP(outline, fineness * cv2.arcLength(outline, True), True).reshape(-1, 2)
        if len(simple) >= 3:
            points = [[float(x), float(y)] for x, y in simple]
            found.append([*points, points[0]])
    return found
