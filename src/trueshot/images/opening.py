"""Opens image files: from a path to a checked header, before any pixel is decoded."""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from PIL import Image, UnidentifiedImageError
from PIL import ImageFile as PillowFile

from trueshot.errors import (
    EmptyFileError,
    ImageFileError,
    ImageTooLargeError,
    NotAnImageError,
    TruncatedImageError,
)
from trueshot.files import open_without_waiting
from trueshot.images.recognition import READ, START, recognise

# Enough for four uncompressed channels of two bytes, and for metadata.
_BYTES_PER_PIXEL, _METADATA_BYTES = 8, 64 * 2**20

_MOST_READS = 100_000  # of a header; one with thousands of tags needs a tenth of it

_lock = threading.Lock()
_inside = 0
_undo = ExitStack()


def read_bytes(path: str | os.PathLike[str], pixel_limit: int) -> bytes:
    """Read a whole regular file, opened once; refuse anything else without blocking."""
    try:
        with io.BufferedReader(io.FileIO(path, opener=open_without_waiting)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageFileError(path, "is a pipe or a device; copy its content to a file")
            if status.st_size > _BYTES_PER_PIXEL * pixel_limit + _METADATA_BYTES:
                raise too_large(path, f"has {status.st_size:,} bytes, more than", pixel_limit)
            data = file.read(status.st_size + 1)
    except FileNotFoundError:
        raise ImageFileError(path, "there is no such file; check the path") from None
    except IsADirectoryError:
        raise ImageFileError(path, "is a folder; give the images in it") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise ImageFileError(path, f"cannot be read ({reason}); check its permissions") from error
    if len(data) > status.st_size:
        raise ImageFileError(path, "grew while it was read; wait for its writer and try again")
    return data


@contextmanager
def opened(data: bytes, name: str, pixel_limit: int) -> Iterator[Image.Image]:
    """Open an image and check its header; exceptions raised in the block become the errors below.

    Raises:
        EmptyFileError: The data is empty.
        NotAnImageError: The data does not start like any format that is read here.
        ImageTooLargeError: The header declares more than `pixel_limit` pixels.
        TruncatedImageError: The data is truncated or damaged.
        ImageFileError: The decoder for HEIC is missing, or memory ran out.
    """
    if not data:
        raise EmptyFileError(name, "is empty; fetch it again from where it came")
    kind = recognise(data[:START])
    if kind not in READ:
        known = "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF"
        what = "is no image" if kind is None else f"is a {kind}, which is not read here"
        raise NotAnImageError(name, f"{what}; convert it to one of {known}")
    with _strict_pillow(), _errors_with_a_name(name, kind):
        if kind == "WEBP":  # opening it allocates the whole canvas
            _check_size(name, _webp_size(data), pixel_limit)
        content = _Header(data)
        with _open(content, name, kind) as picture:
            content.is_read = True
            _check_size(name, picture.size, pixel_limit)
            yield picture


def too_large(path: object, what: str, pixel_limit: int) -> ImageTooLargeError:
    """Return an error that says how large a file is and what to do about it."""
    advice = "if you trust it, give a higher pixel limit, else leave it out"
    return ImageTooLargeError(path, f"{what} the limit of {pixel_limit:,} pixels allows; {advice}")


class _Header(io.BytesIO):
    """Bytes with a limit on reads of the header, as Pillow parses junk slowly, in Python.

    Attributes:
        is_read: Whether the header has been read; reads of pixels are not limited.
    """

    is_read = False
    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > _MOST_READS and not self.is_read:
            raise ValueError("junk, or parts without end, before its pixels")
        return super().read(size)


def _open(content: io.BytesIO, name: str, kind: str) -> Image.Image:
    if kind != "HEIF":
        return Image.open(content, formats=(kind,))
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        advice = "install it with: pip install pillow-heif"
        raise ImageFileError(name, f"HEIC needs a decoder of its own; {advice}") from None
    # The class is used directly, because registering it would change Pillow for the whole process.
    decoder: Callable[..., Image.Image] = HeifImageFile
    return decoder(content)


def _check_size(name: str, size: tuple[int, int], pixel_limit: int) -> None:
    if size[0] * size[1] > pixel_limit:
        raise too_large(name, f"declares {size[0]}×{size[1]} pixels, more than", pixel_limit)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return the size of a WebP canvas; (0, 0) if the decoder will refuse the header anyway."""
    number = int.from_bytes
    if data[12:16] == b"VP8X":
        return number(data[24:27], "little") + 1, number(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = number(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if data[12:16] == b"VP8 ":
        return number(data[26:28], "little") & 0x3FFF, number(data[28:30], "little") & 0x3FFF
    return 0, 0


@contextmanager
def _errors_with_a_name(name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except ImageFileError:
        raise
    except MemoryError as error:
        raise ImageFileError(name, "needs more memory than there is; make it smaller") from error
    except UnidentifiedImageError as error:  # its text only names an object of ours
        reason = f"is a damaged or cut {kind}, or has pixels that are not read here"
        advice = "fetch it again, or save it with 8 or 16 whole bits per channel"
        raise TruncatedImageError(name, f"{reason}; {advice}") from error
    except Exception as error:  # on hostile bytes decoders may raise anything
        reason = f"is a damaged or cut {kind} ({type(error).__name__}: {error})"
        raise TruncatedImageError(name, f"{reason}; fetch it again from where it came") from error


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Make Pillow quiet, strict and free of its own pixel limit (ours is checked first).

    Pillow and `warnings` keep these settings in globals. Concurrent threads share one change, which
    the last to leave undoes: otherwise a thread would restore settings changed by another.
    """
    global _inside
    with _lock:
        if not _inside:
            _undo.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
            _set(Image, "MAX_IMAGE_PIXELS", None)
            _set(PillowFile, "LOAD_TRUNCATED_IMAGES", False)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _undo.close()


def _set(module: object, name: str, value: object) -> None:
    _undo.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, value)
