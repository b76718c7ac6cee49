"""Pages: how templates are rendered, how pictures come into a page, and how it is printed."""

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
    """For the templates in a folder: all is escaped, and what is not given is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, filters: Mapping[str, Callable[..., Any]], **content: Any) -> str:
    """A page as text, which no file can fail to hold; it needs no other file and no network.

    Args:
        template: Its file in the folder of templates.
        filters: Beside those of jinja2.
        content: What the template shows.
    """
    environment = strict_environment()
    environment.filters |= filters
    return utf8_safe(environment.get_template(template).render(content)).lstrip()


def picture(folder: Path, name: str) -> str:
    """An image file in or below a folder as a data URI; empty if it is gone, or elsewhere."""
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
    """Print a self-contained HTML page, such as that of `write_scan_report`, to PDF (A4).

    Nothing is fetched, neither from the network nor from other files; scripts are not run.

    Args:
        html_path: The page.
        out: The PDF to write, all or nothing.

    Raises:
        RunError: The extra is not installed, or the page cannot be read or printed.
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
        """Lets through what an address holds itself."""

        def fetch_url(self, url: str) -> Any:
            if not url.startswith("data:"):
                raise ValueError("a report holds all that it shows")
            return super().fetch_url(url)

    book = plutoprint.Book(plutoprint.PAGE_SIZE_A4)
    book.custom_resource_fetcher = OnlyWhatIsInside()
    opened = re.sub(r"<details(?=[ >])", "<details open", html)  # paper cannot be opened
    book.load_html(opened, base_url="file:///report.html")  # so that links inside it stay inside
    return book
