"""Render pages from templates, embed pictures in them, and print them to PDF."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from trueshot.errors import ImageFileError, RunError
from trueshot.files import utf8_safe, write_atomically
from trueshot.images import inspect_image

TEMPLATES = Path(__file__).parent / "templates"
_MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}


def strict_environment(templates: Path = TEMPLATES) -> jinja2.Environment:
    """Return a Jinja environment that escapes all values and raises on undefined names."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, filters: Mapping[str, Callable[..., Any]], **content: Any) -> str:
    """Render a self-contained page as text that can always be encoded in UTF-8.

    Args:
        template: File name of the template in the templates folder.
        filters: Filters in addition to those of Jinja.
        content: Variables of the template.
    """
    environment = strict_environment()
    environment.filters |= filters
    return utf8_safe(environment.get_template(template).render(content)).lstrip()


def picture(folder: Path, name: str) -> str:
    """Return a PNG or JPEG file in or below a folder as a data URI.

    The result is "" if the file is missing, unreadable, of another format or outside the folder.
    """
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            return ""
        media_type = _MEDIA_TYPES.get(inspect_image(path).format)
        content = base64.b64encode(path.read_bytes()).decode("ascii")
    except (ImageFileError, OSError, ValueError):
        return ""
    return f"data:{media_type};base64,{content}" if media_type else ""


def write_pdf(html_path: Path, out: Path) -> Path:
    """Print a self-contained HTML page, such as one of `write_scan_report`, to PDF (A4).

    Nothing is loaded from the network or from other files, and scripts are not run.

    Args:
        html_path: HTML page to print.
        out: PDF file, written atomically.

    Raises:
        RunError: The extra pdf is not installed, or the page cannot be read or printed.
    """
    try:
        import plutoprint
    except ImportError as error:
        raise RunError(
            f"{out}: PDF needs the extra `pdf`: pip install 'trueshot[pdf]' (plutoprint); or open "
            f"{html_path} in a browser and print it"
        ) from error
    try:
        html = html_path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{html_path}: cannot be read: {error}") from error
    file = io.BytesIO()
    try:
        _book(plutoprint, html).write_to_pdf_stream(file)
    except (plutoprint.Error, MemoryError) as error:
        raise RunError(f"{html_path}: cannot be printed to PDF: {error}") from error
    write_atomically(out, file.getvalue())
    return out


def _book(plutoprint: Any, html: str) -> Any:
    class OnlyWhatIsInside(plutoprint.ResourceFetcher):  # type: ignore[misc]
        """Resource fetcher that allows only data: URLs."""

        def fetch_url(self, url: str) -> Any:
            if not url.startswith("data:"):
                raise ValueError("a report must not load other files")
            return super().fetch_url(url)

    book = plutoprint.Book(plutoprint.PAGE_SIZE_A4)
    book.custom_resource_fetcher = OnlyWhatIsInside()
    opened = re.sub(r"<details(?=[ >])", "<details open", html)  # unfold all
    book.load_html(opened, base_url="file:///report.html")  # keeps internal links internal
    return book
