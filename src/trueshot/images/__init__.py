"""All access to image files: reading with limits, facts and hashes; writing; searching.

Files are untrusted. Each is read once, recognised by its content and never by its suffix, and
refused before decoding if it declares too many pixels; any damage raises an error naming the file.
"""

from trueshot.files import DEFAULT_PIXEL_LIMIT
from trueshot.images.facts import ImageFacts
from trueshot.images.reading import (
    ImageFile,
    inspect_image,
    pixels_sha256,
    read_image,
    read_image_bytes,
)
from trueshot.images.recognition import SUFFIXES, find_images, may_be_image, recognise
from trueshot.images.writing import write_jpeg, write_png

__all__ = [
    "DEFAULT_PIXEL_LIMIT",
    "SUFFIXES",
    "ImageFacts",
    "ImageFile",
    "find_images",
    "inspect_image",
    "may_be_image",
    "pixels_sha256",
    "read_image",
    "read_image_bytes",
    "recognise",
    "write_jpeg",
    "write_png",
]
