"""What goes over the wire, as OpenAPI describes it (docs/serving.md)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from .events import Event


class Message(BaseModel):
    """Base of what is sent and received: unknown fields are refused, and so are Infinity and NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NetworkEntry(Message):
    """A network that this server has loaded."""

    name: str = Field(description="what `network` of a new session takes")
    backbone: str
    size: tuple[int, int] | None = Field(description="[H, W] in pixels; null: any size")
    precision: str
    runtime: str
    device: str
    default: bool = Field(description="whether new sessions that name none get this one")


class SessionOptions(Message):
    """How masks are computed; what is not given is the network's own."""

    size: int | tuple[int, int] | None = None
    flip: bool = True
    threshold: float = 0.5
    n_early: int | None = None
    r_max: float | None = None


class At(Message):
    """A request that may name the revision it is meant for."""

    model_config = ConfigDict(strict=True)  # false is no 0, and "1" no 1

    revision: Annotated[
        int | None,
        Field(description="refuse with 409 unless the session is at this revision; null: whatever it is at"),
    ] = None


class ClickRequest(At):
    """A click."""

    x: float = Field(description="column in image pixels, 0 <= x < width; fractions are allowed")
    y: float = Field(description="row in image pixels, 0 <= y < height")
    positive: bool = Field(default=True, description="true adds to the object, false removes from it")


class ClickMessage(Message):
    """A click as it is told."""

    x: float
    y: float
    positive: bool

    @classmethod
    def of(cls, event: Event) -> ClickMessage:
        return cls(x=event.x, y=event.y, positive=event.positive)


class Rle(Message):
    """COCO's compressed run-length encoding."""

    size: tuple[int, int] = Field(description="[H, W] in pixels")
    counts: str


Box = Annotated[
    tuple[int, int, int, int], Field(description="[row_min, row_max, col_min, col_max] in pixels, inclusive")
]


class ObjectState(Message):
    """One object: its clicks and its mask."""

    object: int = Field(description="its number, from 0")
    finished: bool
    clicks: list[ClickMessage]
    area: int = Field(description="pixels")
    box: Box | None = Field(description="null where the mask is empty")
    rle: Rle


class SessionState(Message):
    """A session as it is now."""

    id: str
    network: str
    width: int
    height: int
    options: SessionOptions
    revision: int = Field(description="number of events in the session's log")
    can_undo: bool
    can_redo: bool
    objects: list[ObjectState] = Field(description="the last one is the present, unfinished one")


class Reply(Message):
    """The answer to an event: the present object after it."""

    revision: int = Field(description="number of events in the session's log; this one is durable")
    object: int = Field(description="number of the present object, from 0")
    clicks: list[ClickMessage]
    area: int
    box: Box | None
    rle: Rle
    roi: Box | None = Field(description="what the newest network pass looked at; null before the first click")
    can_undo: bool
    can_redo: bool
    timing: dict[str, float] = Field(description="milliseconds by stage (docs/serving.md)")


class ErrorMessage(Message):
    """Why a request was refused."""

    error: str = Field(description="kind of error")
    message: str = Field(description="what was expected, what came, what to do")


class CocoFile(BaseModel):
    """A COCO file of one image: an annotation per object, with its mask as RLE."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]
