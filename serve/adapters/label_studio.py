"""ML backend for Label Studio: ``/health``, ``/setup``, ``/predict`` and its other routes.

For each smart keypoint Label Studio sends the task and all keypoints of the region; the reply is a brush mask.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ...engine.errors import ClickError, ImageError, MfpError, OptionError
from ..errors import TooManyError, UnavailableError
from ..http import error_responses, logs
from .brush_rle import brush_rle
from .label_studio_images import Images, Source
from .replay import Answer, ClickAt, Replay, ReplayImage


class Context(BaseModel):
    """Keypoints that an annotator has drawn for one region, a list in Label Studio's own form."""

    model_config = ConfigDict(extra="allow")
    result: list[dict[str, Any]] = []


class Params(BaseModel):
    model_config = ConfigDict(extra="allow")
    context: Context | None = None


class PredictRequest(BaseModel):
    """A request for predictions.

    Attributes:
        tasks: list of one task, whose ``data`` names the image.
        label_config: the project's labeling configuration, XML.
        params: parameters with the context; without a context, Label Studio asks for predictions before any click.
    """

    model_config = ConfigDict(extra="allow")
    tasks: list[dict[str, Any]] = Field(default=[], max_length=1000)
    label_config: str = Field(default="", max_length=1_000_000)
    params: Params = Params()


def router(replays: Mapping[str, Replay], source: Source) -> APIRouter:
    """Router with Label Studio's routes.

    Args:
        replays: replays by the networks' names; the first one answers.
        source: places that images are read from.

    Raises:
        OptionError: the source's URL is no server, or its folder does not exist.
    """
    routes = APIRouter(tags=["Label Studio"])
    images = Images(source)
    name, replay = next(iter(replays.items()))
    version = f"mfp-{name}"

    @routes.get("/", include_in_schema=False)
    @routes.get("/health", name="label_studio_health")
    def health() -> dict[str, str]:
        return {"status": "UP", "model_class": "MFP"}

    @routes.post("/setup", name="label_studio_setup")
    def setup() -> dict[str, str]:
        # The body offers an address and a token to fetch images with. They are not used: any client can send one.
        return {"model_version": version}

    @routes.get("/versions", name="label_studio_versions")
    def versions() -> dict[str, list[str]]:
        return {"versions": [version]}

    @routes.post("/webhook", name="label_studio_webhook")
    @routes.post("/train", include_in_schema=False)
    def train() -> dict[str, str]:
        return {"status": "ignored: networks are trained by mfp train"}

    @routes.post("/predict", name="label_studio_predict")
    def predict(request: PredictRequest) -> Any:  # not async: FastAPI runs it in a thread
        try:
            return {"results": _predict(replay, images, version, request)}
        except MfpError as error:
            logs.note(error=type(error).__name__, message=str(error))
            busy = isinstance(error, (TooManyError, UnavailableError))
            status = error_responses.answer(error)[0] if busy else 400
            return JSONResponse({"error": type(error).__name__, "message": str(error)}, status)

    return routes


def _predict(replay: Replay, images: Images, version: str, request: PredictRequest) -> list[dict[str, Any]]:
    context = request.params.context
    if context is None or not context.result:
        return []  # MFP predicts nothing for an image without clicks
    if len(request.tasks) != 1:
        raise OptionError(f"expected one task with its keypoints, got {len(request.tasks)}")
    brush, image_tag, value = _tags(request.label_config)
    data = request.tasks[0].get("data")
    if not isinstance(data, dict) or value not in data:
        raise ImageError(f"expected an image in the task's data under {value!r}")
    with replay.image(images.read(data[value])) as image:
        clicks, label = [_click(region, image) for region in context.result], _label(context.result[-1])
        answer = image.predict(clicks)
        size = {"original_width": image.width, "original_height": image.height}
    return [_prediction(answer, size, label, {"from_name": brush, "to_name": image_tag}, version)]


def _prediction(
    answer: Answer, size: dict[str, int], label: str, names: dict[str, str], version: str
) -> dict[str, Any]:
    region = {
        "id": secrets.token_hex(5),
        **names,
        **size,
        "image_rotation": 0,
        "type": "brushlabels",
        "value": {"format": "rle", "rle": brush_rle(answer.mask), "brushlabels": [label]},
        "score": answer.score,
        "readonly": False,
    }
    return {"result": [region] if answer.mask.area else [], "model_version": version, "score": answer.score}


def _click(region: dict[str, Any], image: ReplayImage) -> ClickAt:
    """A keypoint, in percent of the image, as a click."""
    if region.get("type") != "keypointlabels":
        raise OptionError(
            f'expected smart keypoints, got {region.get("type")!r}: MFP takes points. Set smart="true" on '
            "KeyPointLabels only"
        )
    if region.get("image_rotation"):
        raise OptionError("expected an image that is not turned: turn it back before clicking on it")
    value = region.get("value")
    try:
        x, y = (float(value[axis]) / 100 for axis in ("x", "y"))  # type: ignore[index]
    except (KeyError, OverflowError, TypeError, ValueError):
        raise ClickError(f"expected a keypoint with x and y in percent, got {value!r:.200}") from None
    # 100 % is the far edge; a click must be less than the width and the height.
    x, y = (1 - 1e-9 if share == 1 else share for share in (x, y))
    positive = region.get("is_positive", True)
    if not isinstance(positive, int) or positive not in (0, 1):
        raise ClickError(f"expected is_positive of a keypoint to be true or false, got {positive!r:.200}")
    return x * image.width, y * image.height, bool(positive)


def _label(region: dict[str, Any]) -> str:
    value = region.get("value")
    labels = value.get("keypointlabels") if isinstance(value, dict) else None
    if not isinstance(labels, list) or not labels:
        raise OptionError("expected a label at the keypoint: choose one before clicking")
    return str(labels[0])


def _tags(config: str) -> tuple[str, str, str]:
    """Names of the brush and the image in the project's configuration, and the image's key in a task's data."""
    if "<!" in config.replace("<!--", ""):
        raise OptionError("expected a labeling configuration without DOCTYPE")  # its entities can expand without limit
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise OptionError(f"expected a labeling configuration in XML ({error})") from None
    images = {tag.get("name", ""): tag.get("value", "") for tag in root.iter("Image")}
    for tag in root.iter("BrushLabels"):
        image = tag.get("toName", "")
        if tag.get("name") and images.get(image, "").startswith("$"):
            return tag.get("name", ""), image, images[image][1:]
    raise OptionError(
        "expected BrushLabels over an Image in the labeling configuration, which the mask is drawn with: "
        '<BrushLabels name="brush" toName="image">, <Image name="image" value="$image"/>'
    )
