"""Read uploads within limits and only in memory (the framework's parser uses files)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

from trueshot.files import sanitize
from trueshot.web.problems import ProblemError, too_large
from trueshot.web.settings import ServiceSettings

_MULTIPART = "multipart/form-data"
_UNNAMED = "upload"
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Upload:
    """One file that was sent.

    Args:
        name: Name given by the sender, made printable; never used as a path.
        data: Its bytes.
    """

    name: str
    data: bytes = field(repr=False)


async def read_uploads(request: Request, settings: ServiceSettings, name: str) -> list[Upload]:
    """Read the files of a request: its whole body, or the parts of a form.

    Args:
        request: The request, not yet read.
        settings: Limits, which are enforced while reading, whatever length was declared.
        name: Name of the file if it is the whole body.

    Raises:
        ProblemError: The request is too long, too slow, has too many files or none, or has
            another media type.
    """
    kind = media_type(request)
    if kind == _MULTIPART:
        return await _read_form(request, settings)
    if kind != "application/octet-stream" and not kind.startswith("image/"):
        raise ProblemError(
            415,
            "media-type",
            f"{kind or 'no media type'}: not supported; send one file as application/octet-stream "
            f"or image/*, or several files as {_MULTIPART}",
            {"Accept-Post": f"application/octet-stream, image/*, {_MULTIPART}"},
        )
    body = bytearray()
    await _read(request, settings, body.extend)
    return [Upload(printable_name(name), bytes(body))]


def media_type(request: Request) -> str:
    """Return the media type of a request without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def printable_name(name: str) -> str:
    """Return a sent file name, safe to show: only the last part of a path, on one line."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return sanitize(last[:_LONGEST_NAME]) or _UNNAMED


async def _read(
    request: Request, settings: ServiceSettings, take: Callable[[bytes], object]
) -> None:
    """Pass the body to `take` piece by piece, within the limits."""
    limit = settings.upload_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large(limit)
    length = 0
    try:
        async with asyncio.timeout(settings.upload_seconds):
            async for piece in request.stream():
                length += len(piece)
                if length > limit:
                    raise too_large(limit)
                take(piece)
    except TimeoutError:
        detail = f"the request did not arrive within {settings.upload_seconds:g} s; send it again"
        raise ProblemError(408, "slow", detail, {"Connection": "close"}) from None


async def _read_form(request: Request, settings: ServiceSettings) -> list[Upload]:
    _, options = parse_options_header(request.headers["content-type"])
    form = _Form(settings.max_files)
    try:
        parser = MultipartParser(options.get(b"boundary", b""), form.callbacks())
        await _read(request, settings, parser.write)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        detail = f"the form cannot be read ({sanitize(str(error), 300)}); send it again"
        raise ProblemError(400, "form", detail) from error
    if not form.has_ended:
        detail = "the form has no final boundary, so it may be incomplete; send it again"
        raise ProblemError(400, "form", detail)
    if not form.files:
        raise ProblemError(422, "form", "the form has no file; send at least one")
    return [Upload(name, bytes(data)) for name, data in form.files]


class _Form:
    """Collects the files of a form, and refuses fields that are not files."""

    def __init__(self, most: int) -> None:
        self.files: list[tuple[str, bytearray]] = []
        self.has_ended = False
        self._most = most
        self._header = self._value = b""
        self._disposition = b""

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._take,
            "on_end": self._end,
        }

    def _end(self) -> None:
        self.has_ended = True

    def _begin(self) -> None:
        self._disposition = b""

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            field = sanitize(options.get(b"name", b"").decode("utf-8", "replace"), 100)
            detail = f"{field or 'a field without a name'} is not a file; put parameters in the URL"
            raise ProblemError(422, "form", detail)
        if len(self.files) == self._most:
            detail = f"a form may hold at most {self._most} files; send the others separately"
            raise ProblemError(413, "too-many", detail)
        name = options[b"filename"].decode("utf-8", "replace")
        self.files.append((printable_name(name), bytearray()))

    def _take(self, data: bytes, start: int, end: int) -> None:
        self.files[-1][1].extend(memoryview(data)[start:end])
