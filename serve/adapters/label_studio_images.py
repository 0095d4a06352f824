"""Where a Label Studio task's image comes from.

A task names its image by a URL that whoever writes the task chooses. Three places are read, nothing else: the URL
itself (``data:``), Label Studio's own server, and files below one folder. So a task cannot make this server ask others
on the network.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from ...engine.errors import ImageError, OptionError, TooLargeError
from .base64_image import image_bytes

LOCAL_FILES = "/data/local-files/"  # Label Studio's path of "local files" storage; ?d=path below its root
TIMEOUT = 10.0  # seconds without a byte


@dataclass(frozen=True)
class Source:
    """What may be read.

    Attributes:
        url: Label Studio's, as this server reaches it; empty: no images of its own are fetched.
        token: an access token of it, of either kind that its account page shows.
        files: the folder that Label Studio's "local files" storage has as its root; None: none.
        max_bytes: of one image.
    """

    url: str = ""
    token: str = ""
    files: Path | None = None
    max_bytes: int = 64 * 1024 * 1024


class Images:
    """Reads tasks' images. Any number of threads.

    Raises:
        OptionError: the source's URL is none, or its folder is not there.
    """

    def __init__(self, source: Source) -> None:
        if source.url and (urlsplit(source.url).scheme not in ("http", "https") or not urlsplit(source.url).hostname):
            raise OptionError(f"expected Label Studio's address as http://host:port, got {source.url!r}")
        if source.files is not None and not source.files.is_dir():
            raise OptionError(f"expected a folder of Label Studio's files, got {source.files}")
        self._source = source
        # No redirects, and no proxies: both lead elsewhere.
        self._opener: OpenerDirector = build_opener(_NoRedirect, ProxyHandler({}))
        self._lock = threading.Lock()
        self._access = ""  # what a refresh token was exchanged for

    def read(self, address: Any) -> bytes:
        """The image file of a task.

        Args:
            address: the task's value: a ``data:`` URI, a path on Label Studio's server, or a URL there.

        Raises:
            ImageError: it lies elsewhere, or is not there.
            TooLargeError: it has more than ``max_bytes``.
        """
        if not isinstance(address, str):
            raise ImageError(f"expected the URL of an image in the task, got {type(address).__name__}")
        if address.startswith("data:"):
            return self._checked(image_bytes(address))
        own = urlsplit(self._source.url)
        try:
            where = urlsplit(address)
        except ValueError as error:
            raise ImageError(f"expected the URL of an image in the task, got {address[:200]!r} ({error})") from None
        here = not where.scheme and not where.netloc and where.path.startswith("/")
        if not here and (where.scheme, where.netloc) != (own.scheme, own.netloc):
            raise ImageError(
                f"expected an image on Label Studio's server ({self._source.url or 'none is set'}) or a data: URI, got "
                f"{address[:200]!r}: images elsewhere are not fetched. Upload it to Label Studio"
            )
        if self._source.files is not None and where.path == own.path.rstrip("/") + LOCAL_FILES:
            return self._file(self._source.files, parse_qs(where.query).get("d", [""])[0])
        if not self._source.url:
            raise ImageError(f"cannot fetch {address[:200]!r}: start the server with --label-studio-url and a token")
        url = urljoin(self._source.url, address)
        assert (urlsplit(url).scheme, urlsplit(url).netloc) == (own.scheme, own.netloc)
        return self._fetch(url)

    def _file(self, root: Path, name: str) -> bytes:
        try:
            file = (root / name.lstrip("/")).resolve()  # links too
            if file.is_relative_to(root.resolve()) and file.is_file():
                with file.open("rb") as opened:
                    return self._checked(opened.read(self._source.max_bytes + 1))
        except (OSError, ValueError) as error:
            raise ImageError(f"no file {name[:200]!r} below {root} that can be read ({error})") from None
        raise ImageError(f"no file {name[:200]!r} below {root}")

    def _fetch(self, url: str) -> bytes:
        try:
            return self._get(url, self._authorization())
        except HTTPError as error:
            if error.code != 401 or not self._access:
                raise ImageError(f"Label Studio answered {error.code} for {url}{_hint(error.code)}") from None
        with self._lock:
            self._access = ""  # an exchanged token lives for minutes
        try:
            return self._get(url, self._authorization())
        except HTTPError as error:
            raise ImageError(f"Label Studio answered {error.code} for {url}{_hint(error.code)}") from None

    def _get(self, url: str, authorization: str, body: bytes | None = None) -> bytes:
        headers = {"Authorization": authorization} if authorization else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            with self._opener.open(Request(url, body, headers), timeout=TIMEOUT) as response:
                return self._checked(response.read(self._source.max_bytes + 1))
        except HTTPError:
            raise
        except (URLError, OSError, ValueError) as error:
            raise ImageError(f"cannot fetch {url}: {getattr(error, 'reason', error)}") from None

    def _authorization(self) -> str:
        """Legacy tokens are sent as they are; personal ones (JWT) are exchanged for one of a few minutes."""
        token = self._source.token
        if token.count(".") != 2:
            return f"Token {token}" if token else ""
        with self._lock:
            if not self._access:
                answer = self._get(
                    urljoin(self._source.url, "/api/token/refresh"), "", json.dumps({"refresh": token}).encode()
                )
                try:
                    self._access = str(json.loads(answer)["access"])
                except (KeyError, TypeError, ValueError):
                    raise ImageError("Label Studio exchanged its token for nothing: make a new one there") from None
            return f"Bearer {self._access}"

    def _checked(self, data: bytes) -> bytes:
        if len(data) > self._source.max_bytes:
            raise TooLargeError(f"expected an image of at most {self._source.max_bytes:,} bytes")
        return data


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        """Refuses: the status itself becomes the answer."""


def _hint(status: int) -> str:
    if status in (401, 403):
        return ": expected a token of a user who sees the project (LABEL_STUDIO_API_KEY)"
    if 300 <= status < 400:
        return ": it leads to other storage, which is not followed; keep the images in Label Studio"
    return ""
