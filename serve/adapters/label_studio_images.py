"""Reader of Label Studio tasks' images, restricted to three places.

A task names its image by a URL, which the task's author chooses. Only three places are read: the URL itself
(``data:``), Label Studio's own server, and files below one folder. So a task cannot make this server send requests to
other hosts on the network.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, parse_qs, quote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from ...engine.errors import ImageError, OptionError
from ..errors import TooLargeError
from .base64_image import image_bytes

LOCAL_FILES = "/data/local-files/"  # URL path of Label Studio's "local files" storage; ?d=path below its root
TIMEOUT = 10.0  # seconds without a byte received


@dataclass(frozen=True)
class Source:
    """Places that images may be read from.

    Attributes:
        url: Label Studio's URL, as this server reaches it; empty: no images are fetched from Label Studio.
        token: Label Studio access token, of either kind that its account page shows.
        files: root folder of Label Studio's "local files" storage; None: no local files are read.
        max_bytes: largest size of one image, in bytes.
    """

    url: str = ""
    token: str = ""
    files: Path | None = None
    max_bytes: int = 64 * 1024 * 1024


class Images:
    """Reader of tasks' images. Any number of threads may use it.

    Raises:
        OptionError: the source's URL is malformed, or its folder does not exist.
    """

    def __init__(self, source: Source) -> None:
        if source.url and not _is_server(source.url):
            raise OptionError(
                f"expected Label Studio's address as http://host:port or http://host/path, got {source.url!r}"
            )
        if not (source.token.isascii() and source.token.isprintable()) or " " in source.token:
            raise OptionError("expected in LABEL_STUDIO_API_KEY a token of Label Studio's account page, in ASCII")
        if source.files is not None and not source.files.is_dir():
            raise OptionError(f"expected a folder of Label Studio's files, got {source.files}")
        self._source = source
        self._base = encoded(urlsplit(source.url).path.rstrip("/"))
        # No redirects and no proxies, because both lead to other hosts.
        self._opener: OpenerDirector = build_opener(_NoRedirect, ProxyHandler({}))
        self._lock = threading.Lock()
        self._access = ""  # access token that the refresh token was exchanged for

    def read(self, address: Any) -> bytes:
        """Read the image file of a task.

        Args:
            address: image value of the task: a ``data:`` URI, a path on Label Studio's server, or a URL of that server.

        Returns:
            The file's bytes.

        Raises:
            ImageError: the image is in none of the three places, or cannot be read.
            TooLargeError: the image has more than ``max_bytes``.
        """
        if not isinstance(address, str):
            raise ImageError(f"expected the URL of an image in the task, got {type(address).__name__}")
        if address.startswith("data:"):
            return self._checked(image_bytes(address))
        own = urlsplit(self._source.url)
        try:
            if any(character < " " or character == "\x7f" for character in address):
                raise ValueError("control characters in it")
            where = urlsplit(encoded(address.strip()))
            here = not where.scheme and where.path.startswith("/")
            if where.netloc:
                here = _origin(where) == _origin(own) and "@" not in where.netloc
        except ValueError as error:
            raise ImageError(f"expected the URL of an image in the task, got {address[:200]!r} ({error})") from None
        if not here:
            raise ImageError(
                f"expected an image on Label Studio's server ({self._source.url or 'none is set'}) or a data: URI, got "
                f"{address[:200]!r}: images elsewhere are not fetched. Upload it to Label Studio"
            )
        path = where.path.removeprefix(self._base) if where.path.startswith(f"{self._base}/") else where.path
        if self._source.files is not None and path == LOCAL_FILES:
            return self._file(self._source.files, parse_qs(where.query).get("d", [""])[0])
        if not self._source.url:
            raise ImageError(f"cannot fetch {address[:200]!r}: start the server with --label-studio-url and a token")
        return self._fetch(self._url(path, where.query))

    def _url(self, path: str, query: str = "") -> str:
        """URL of a path on Label Studio's server, whose own URL may have a path too."""
        own = urlsplit(self._source.url)
        return urlunsplit((own.scheme, own.netloc, self._base + path, query, ""))

    def _file(self, root: Path, name: str) -> bytes:
        try:
            file = (root / name.lstrip("/")).resolve()  # follows links too
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
            self._access = ""  # an exchanged token is valid for minutes
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
                data = self._checked(response.read(self._source.max_bytes + 1))
                if response.length:  # the number of announced bytes that did not arrive
                    raise IncompleteRead(data, response.length)
                return data
        except HTTPError:
            raise
        except (URLError, HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ImageError(f"cannot fetch {url}: {str(reason) or type(error).__name__}") from None

    def _authorization(self) -> str:
        """Value of the Authorization header.

        Legacy tokens are sent unchanged; personal ones (JWT) are exchanged for a token that is valid for minutes.
        """
        token = self._source.token
        if token.count(".") != 2:
            return f"Token {token}" if token else ""
        with self._lock:
            if not self._access:
                answer = self._get(self._url("/api/token/refresh"), "", json.dumps({"refresh": token}).encode())
                try:
                    self._access = str(json.loads(answer)["access"])
                except (KeyError, TypeError, ValueError):
                    raise ImageError("Label Studio exchanged its token for nothing: make a new one there") from None
            return f"Bearer {self._access}"

    def _checked(self, data: bytes) -> bytes:
        if len(data) > self._source.max_bytes:
            raise TooLargeError(f"expected an image of at most {self._source.max_bytes:,} bytes")
        return data


def encoded(address: str) -> str:
    """Percent-encode the characters of an address that HTTP cannot carry, such as letters outside ASCII.

    Parts that are encoded already stay unchanged. A ``#`` is taken as a part of a name: images have no fragments.
    """
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", address), safe="%/:?&=+,;@!$'()*~[]", errors="surrogatepass")


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        scheme, host, _ = _origin(parts)
    except ValueError:
        return False
    return scheme in ("http", "https") and bool(host) and not parts.query and not parts.fragment


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of an address; the port's default is filled in."""
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        """Refuse every redirect, so that its status becomes the answer."""


def _hint(status: int) -> str:
    if status in (401, 403):
        return ": expected a token of a user who sees the project (LABEL_STUDIO_API_KEY)"
    if 300 <= status < 400:
        return ": it leads to other storage, which is not followed; keep the images in Label Studio"
    return ""
