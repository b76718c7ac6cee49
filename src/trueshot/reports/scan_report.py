"""The report of a scan: one HTML page that holds everything it shows and asks for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from trueshot.card import Card
from trueshot.files import sanitize, utf8_safe, write_atomically
from trueshot.reports.environment import strict_environment
from trueshot.reports.scan_cards import data_uri, hypotheses, image_cards
from trueshot.reports.scan_chart import draw, histogram_for
from trueshot.reports.scan_summary import WORDS, Row, summarise
from trueshot.reports.scan_text import (
    area_text,
    bytes_text,
    flat,
    number_text,
    rate_text,
    ratio_text,
    share_text,
    span_text,
    worst_kinds,
)

if TYPE_CHECKING:
    from trueshot.inference.explanation import Explanation

MOST_CARDS = 200
MOST_ROWS = 10_000
MOST_BYTES = 48 * 2**20

_TEMPLATES = Path(__file__).parent / "templates"
_ROW = 700  # bytes of a row of the table besides what it is found by, about
_MOST_REASONS = 500
_EXIT = {
    0: "everything was judged, and all of it is original",
    1: "everything was judged, and some of it is recaptured",
    2: "some files could not be judged, or no verdict was reached on them, or there were none",
}


@dataclass(frozen=True, kw_only=True)
class ScanReport:
    """A report.

    Args:
        html: The page, in UTF-8.
        files: In the results.
        rows: Of them in the table.
        cards: Of them with a picture and findings of their own.
    """

    html: bytes
    files: int
    rows: int
    cards: int


def write_scan_report(
    records: Iterable[Mapping[str, Any]], card: Card, out: Path, **said: Any
) -> ScanReport:
    """Make the report of a scan, as `scan_report` does, and write it: all or nothing."""
    made = scan_report(records, card, **said)
    write_atomically(out, made.html)
    return made


def scan_report(
    records: Iterable[Mapping[str, Any]],
    card: Card,
    *,
    bundle_sha256: str,
    explanations: Mapping[str, Explanation] | None = None,
    versions: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    asked: Sequence[str] = (),
    results: str | None = None,
    exit_status: int | None = None,
    made: datetime | None = None,
    most_cards: int = MOST_CARDS,
    most_rows: int = MOST_ROWS,
    most_bytes: int = MOST_BYTES,
) -> ScanReport:
    """Make the report of a scan from its records; nothing is judged again.

    Args:
        records: As in the results file (`Verdict.as_record`), read once, in any order.
        card: Of the detector.
        bundle_sha256: Of the detector's file.
        explanations: By SHA-256 of the image file; only those that are shown are asked for, so a
            mapping that reads them one by one will do. It may raise ValueError for a damaged one.
        versions: Of the libraries that judged.
        settings: Of the scan, by name, such as "runtime" or "seconds for each file".
        asked: What was to be scanned, as it was given.
        results: Where the full results are, as the reader is to be told.
        exit_status: Of the scan.
        made: When; now if not given.
        most_cards: So many images have a picture and findings of their own: recaptured ones
            first, then undecided ones, then originals.
        most_rows: So many files stand in the table.
        most_bytes: About so large the page may become; there are fewer cards then.

    Returns:
        The page. The same records, explanations and moment give the same bytes.

    Raises:
        RunError: A record is none.
    """
    summary = summarise(records, histogram_for(card), most_rows)
    shown = image_cards(
        summary.of("recaptured", "undecided", "original"),
        explanations or {},
        card,
        most_cards,
        most_bytes - sum(map(_row_bytes, summary.rows)),
    )
    text = _render(
        summary=summary,
        cards=shown,
        numbers={one.row.number for one in shown},
        card=card,
        chart=draw(summary.histogram, card),
        bundle_sha256=sanitize(bundle_sha256, 64),
        versions=flat(versions or {}),
        settings=flat(settings or {}),
        asked=[sanitize(each, 300) for each in asked],
        results=sanitize(results) if results else "",
        exit_status=exit_status,
        exit_words=_EXIT.get(exit_status if exit_status is not None else -1, ""),
        made=(made or datetime.now(UTC)).isoformat(" ", "seconds"),
        facts=_facts(card),
        most_reasons=_MOST_REASONS,
    )
    return ScanReport(
        html=utf8_safe(text).lstrip().encode(),
        files=summary.total,
        rows=len(summary.rows),
        cards=len(shown),
    )


def _row_bytes(row: Row) -> int:
    """What a row takes in the page, about."""
    found_by = (row.file, row.sha256, row.reason, *row.notes)
    return _ROW + sum(map(len, found_by))


def _facts(card: Card) -> dict[str, Any]:
    """What the text of the page depends on."""
    data = card.calibrated_on
    named = f"{data.name} {' '.join(card.limits)}".lower() if data else ""
    kinds = ("clean", "attacked", "everyday", "real")
    return {
        "simulated": "simulat" in named,
        "measured": {k: [m for m in card.measured if m.kind == k] for k in kinds},
        "hypotheses": hypotheses(),
        "words": WORDS,
    }


def _render(**content: Any) -> str:
    style = (_TEMPLATES / "scan.css").read_text("utf-8")
    script = (_TEMPLATES / "scan.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    template = _environment().get_template("scan.html.jinja")
    return template.render(style=Markup(style), script=Markup(script), policy=policy, **content)


def _hash(text: str) -> str:
    """Permission in a policy for exactly this text."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _environment() -> jinja2.Environment:
    found = strict_environment(_TEMPLATES)
    found.filters |= {
        "ratio": ratio_text,
        "number": number_text,
        "rate": rate_text,
        "span": span_text,
        "area": area_text,
        "worst": worst_kinds,
        "uri": data_uri,
        "size": bytes_text,
        "name": lambda text: sanitize(text, 160),
        "clean": sanitize,
        "count": lambda number: f"{number:,}",
        "begun": lambda text: text[:1].upper() + text[1:],
    }
    found.globals |= {"share": share_text}
    return found
