"""A report as PDF, without a browser."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from trueshot.errors import RunError
from trueshot.files import write_atomically


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
