"""Pydantic models of requests and responses, as in the OpenAPI description (docs/serving.md)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from .events import Event


class Message(BaseModel):
    """Base of all messages: unknown fields, Infinity and NaN are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NetworkEntry(Message):
    """A network that the server has loaded."""

    name: str = Field(description="what `network` of a new session takes")
    backbone: str
    size: tuple[int, int] | None = Field(description="[H, W] in pixels; null: any size")
    precision: str
    runtime: str
    device: str
    default: bool = Field(description="whether new sessions that name none get this one")


class SessionOptions(Message):
    """Options of the computation of masks; a missing option has the network's default."""

    size: int | tuple[int, int] | None = None
    flip: bool = True
    threshold: float = 0.5
    n_early: int | None = None
    r_max: float | None = None


class At(Message):
    """A request that may name the revision that it expects."""

    model_config = ConfigDict(strict=True)  # false is not taken as 0, nor "1" as 1

    revision: Annotated[
        int | None,
        Field(description="refuse with 409 unless the session is at this revision; null: whatever it is at"),
    ] = None


class ClickRequest(At):
    """A click."""

    x: float = Field(description="column in image pixels, 0 <= x < width; fractions are allowed")
    y: float = Field(description="row in image pixels, 0 <= y < height")
    positive: bool = Field(default=True, description="true adds to the object, false removes from it")


class ObjectRequest(At):
    """An operation on an object."""

    object: int = Field(description="its number, as the state has it", ge=0)


class NetworkRequest(At):
    """A switch to another network."""

    network: str = Field(description="a name of GET /networks", max_length=200)


class ClickMessage(Message):
    """A click in a response."""

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

    object: int = Field(description="its number, from 0; never that of another object")
    finished: bool
    hidden: bool = Field(description="whether it is marked as not to be drawn")
    network: str = Field(description="that its mask is computed with")
    clicks: list[ClickMessage]
    area: int = Field(description="pixels")
    box: Box | None = Field(description="null where the mask is empty")
    rle: Rle


class SessionState(Message):
    """The present state of a session."""

    id: str
    name: str = Field(description="of the photograph; empty where nobody said")
    network: str = Field(description="of the objects that come next")
    width: int
    height: int
    options: SessionOptions
    revision: int = Field(description="number of events in the session's log")
    can_undo: bool
    can_redo: bool
    present: int = Field(description="number of the present object, the one that is not finished")
    objects: list[ObjectState] = Field(description="by number")


class Reply(Message):
    """The answer to an event: the present object after it."""

    revision: int = Field(description="number of events in the session's log; this one is durable")
    object: int = Field(description="number of the present object")
    clicks: list[ClickMessage]
    area: int
    box: Box | None
    rle: Rle
    roi: Box | None = Field(description="what the newest network pass looked at; null before the first click")
    network: str = Field(description="of the objects that come next")
    can_undo: bool
    can_redo: bool
    objects: list[ObjectState] | None = Field(
        description="all objects, by number, where more has changed than the present one's clicks; null: as before"
    )
    timing: dict[str, float] = Field(description="milliseconds by stage (docs/serving.md)")


class ErrorMessage(Message):
    """The reason why a request was refused."""

    error: str = Field(description="kind of error")
    message: str = Field(description="what was expected, what came, what to do")


class CocoFile(BaseModel):
    """A COCO file of one image: an annotation per object, with its mask as RLE."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]
