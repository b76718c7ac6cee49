"""The report of a scan: a self-contained HTML page that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from trueshot.calibration.verbal_scale import (
    BETWEEN_THRESHOLDS,
    beside_verdict,
    between,
    in_words,
    leaning,
    proof_in_words,
    propositions,
)
from trueshot.card import Card
from trueshot.files import sanitize, write_atomically
from trueshot.images.writing import row_thumbnail
from trueshot.reports.evidence_text import EvidenceTold, evidence_told, share_of_frame
from trueshot.reports.page import TEMPLATES, render
from trueshot.reports.scan_charts import draw, histogram_for, ratio_figures
from trueshot.reports.scan_summary import WORDS, Row, Summary, summarise
from trueshot.reports.scan_text import (
    FIRST,
    OTHER,
    area_text,
    begun,
    by_kind,
    bytes_text,
    common_folder,
    flat,
    number_text,
    of_hundred,
    pooled,
    rate_text,
    ratio_text,
    share_text,
    span_text,
    worst_kinds,
)
from trueshot.tasks.recapture import RECAPTURE
from trueshot.tasks.task import FAILED, UNDECIDED

if TYPE_CHECKING:
    from trueshot.inference.explanation import Explanation


MOST_CARDS = 200
ROWS_AT_ONCE = 100
MOST_ROWS = 10_000
MOST_BYTES = 48 * 2**20

_ROW = 700  # bytes of a table row without its searchable texts, approximately
_MOST_REASONS = 500
_MOST_THUMBNAIL = 2**16  # bytes; those of 88 px have a few thousand
_AT_BOUND = 1e-6
_FRAME = 6000  # bytes of a card without its pictures, approximately
_TYPES = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"RI": "image/webp"}
_EXIT: dict[int | None, str] = {
    0: "no file got a verdict that fails the scan",
    1: "some files got a verdict that fails the scan",
    2: "some files could not be judged, or there were no files",
    3: "some files got a verdict that fails the scan, and some could not be judged",
}


@dataclass(frozen=True, kw_only=True)
class ScanReport:
    """A report and its size.

    Args:
        html: The page in UTF-8.
        files: Number of files in the results.
        rows: Number of files in the table.
        cards: Number of files with a card of pictures and findings.
    """

    html: bytes
    files: int
    rows: int
    cards: int


def write_scan_report(
    records: Iterable[Mapping[str, Any]], card: Card, out: Path, **said: Any
) -> ScanReport:
    """Make the report of a scan with `scan_report` and write it atomically."""
    made = scan_report(records, card, **said)
    write_atomically(out, made.html)
    return made


def scan_report(
    records: Iterable[Mapping[str, Any]],
    card: Card,
    *,
    bundle_sha256: str,
    explanations: Mapping[str, Explanation] | None = None,
    thumbnails: Mapping[str, bytes] | None = None,
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
    """Make the report of a scan from its records, without running the detector again.

    Args:
        records: Records of the results file (`Verdict.as_record`) in any order, read once.
        card: Card of the detector.
        bundle_sha256: SHA-256 of the detector's file.
        explanations: Explanations by SHA-256 of the image file. Only those for cards are looked
            up, so the mapping may load them lazily; it may raise ValueError for a damaged one.
        thumbnails: Thumbnails for the rows, as made by `row_thumbnail`, by SHA-256 of the image
            file; for images with a card, missing ones are made from their explanations.
        versions: Versions of the libraries used in the scan.
        settings: Settings of the scan by name, such as "engine" or "time limit per file".
        asked: Files and folders to scan, as they were given.
        results: Location of the full results, as shown to the reader.
        exit_status: Exit status of the scan.
        made: Time of the report; now by default.
        most_cards: Maximum number of images with a card of pictures and findings: recaptured ones
            first, then undecided ones, then originals.
        most_rows: Maximum number of files in the table.
        most_bytes: Approximate maximum size of the page, kept by showing fewer cards.

    Returns:
        The report. The same arguments, including `made`, give the same bytes.

    Raises:
        RunError: A record has no file or no valid verdict.
    """
    made = made or datetime.now(UTC)
    summary = summarise(records, histogram_for(card), most_rows, card.decides)
    folder = common_folder([row.file for row in summary.rows])
    rows = (replace(row, file=row.file.removeprefix(folder)) for row in summary.rows)
    summary = replace(summary, rows=tuple(rows))
    given = ((row.sha256, thumbnails.get(row.sha256, b"")) for row in summary.rows if thumbnails)
    small = {sha256: picture for sha256, picture in given if _is_thumbnail(picture)}
    shown = _image_cards(
        summary.of(OTHER, UNDECIDED, FIRST),
        explanations or {},
        card,
        most_cards,
        most_bytes - sum(map(_row_bytes, summary.rows)) - sum(map(_encoded, small.values())),
    )
    text = _page(
        summary=summary,
        cards=shown,
        numbers={one.row.number for one in shown},
        thumbnails={one.row.sha256: one.small for one in shown if one.small} | small,
        folder=folder,
        identity=_identity(summary, bundle_sha256, made),
        card=card,
        chart=draw(summary.histogram, card),
        bundle_sha256=sanitize(bundle_sha256, 64),
        versions=flat(versions or {}),
        settings=flat(settings or {}),
        asked=[sanitize(each, 300) for each in asked],
        results=sanitize(results) if results else "",
        exit_status=exit_status,
        exit_words=_EXIT.get(exit_status, ""),
        made=made.isoformat(" ", "seconds"),
        facts=_facts(card),
        most_reasons=_MOST_REASONS,
        rows_at_once=ROWS_AT_ONCE,
    )
    return ScanReport(
        html=text.encode(),
        files=summary.total,
        rows=len(summary.rows),
        cards=len(shown),
    )


def _is_thumbnail(picture: bytes) -> bool:
    """Whether these bytes may be a row thumbnail; a hostile worker may have sent anything."""
    return picture[:2] in _TYPES and len(picture) <= _MOST_THUMBNAIL


def _small(explanation: Explanation | None) -> bytes:
    """Return a row thumbnail made from an explanation's; empty if missing or damaged."""
    if explanation is None:
        return b""
    try:
        return row_thumbnail(explanation.thumbnail)
    except ValueError:
        return b""


def _identity(summary: Summary, bundle_sha256: str, made: datetime) -> str:
    """Return a key for this report under which the browser stores the reader's notes."""
    told = [str(made), bundle_sha256, *(f"{row.number} {row.sha256}" for row in summary.rows)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _encoded(picture: bytes) -> int:
    """Return the size of a picture in bytes when encoded as base64."""
    return 4 * (len(picture) + 2) // 3


def _row_bytes(row: Row) -> int:
    """Return the approximate size of a table row in bytes."""
    found_by = (row.file, row.sha256, row.reason, *row.notes)
    return _ROW + sum(map(len, found_by))


def _facts(card: Card) -> dict[str, Any]:
    """Return the facts about the detector that the text of the page depends on."""
    data = card.calibrated_on
    limits = map(str.lower, card.limits)
    about_data = [each for each in limits if "calibrat" in each or "likelihood ratio" in each]
    named = " ".join([data.name.lower(), *about_data]) if data else ""
    kinds = ("clean", "attacked", "everyday", "real")
    return {
        "simulated": "simulat" in named,
        "measured": {k: [m for m in card.measured if m.kind == k] for k in kinds},
        "hundreds": [*_hundreds(card)],
        "ratios": ratio_figures(card),
        "hypotheses": tuple(begun(text) + "." for text in propositions(card.words)),
        "kinds": WORDS,
        "names": _names(card),
        "words": card.words,
        "is_recapture": card.classes == RECAPTURE.classes,
    }


def _hundreds(card: Card) -> Iterator[tuple[str, str, str]]:
    """Yield name, error rates in words, and rates by kind of each measurement without an attack.

    Real photographs come before clean ones; several of one kind are preceded by their total.
    """
    for kind in ("real", "clean"):
        measured = [found for found in card.measured if found.kind == kind]
        for found in [pooled(measured), *measured] if len(measured) > 1 else measured:
            if said := of_hundred(found, card.words):
                yield sanitize(found.name), said, by_kind(found, card.words)


def _names(card: Card) -> dict[str, str]:
    """Return the name of each kind of verdict."""
    first, other = (sanitize(word) for word in card.words.verdicts)
    names = {FIRST: first, OTHER: other, UNDECIDED: UNDECIDED, FAILED: "not judged"}
    return {kind: begun(name) for kind, name in names.items()}


def _page(**content: Any) -> str:
    style = "\n".join((TEMPLATES / name).read_text("utf-8") for name in ("page.css", "scan.css"))
    script = (TEMPLATES / "scan.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    content |= {"style": Markup(style), "script": Markup(script), "policy": policy}
    return render("scan.html.jinja", _filters(), share=share_text, **content)


def _hash(text: str) -> str:
    """Return the hash source of a text for a Content-Security-Policy."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _filters() -> dict[str, Callable[..., Any]]:
    return {
        "ratio": ratio_text,
        "between": between,
        "proof": proof_in_words,
        "number": number_text,
        "rate": rate_text,
        "span": span_text,
        "area": area_text,
        "worst": worst_kinds,
        "uri": _data_uri,
        "size": bytes_text,
        "name": lambda text: sanitize(text, 160),
        "clean": sanitize,
        "count": lambda number: f"{number:,}",
        "frame": share_of_frame,
        "begun": begun,
    }


@dataclass(frozen=True, kw_only=True)
class _ImageCard:
    """The card of one image in a report.

    Args:
        row: Record of the image.
        explanation: Explanation of the verdict; None if none was kept, so there are no pictures.
        verdict: Verdict in a sentence.
        findings: Sentences on the likelihood ratio, or on why there is none.
        caution: Why the likelihood ratio must not be relied on; empty if there is no objection.
        evidence: Kinds of evidence, for detectors that combine several.
        small: Row thumbnail of the photograph; empty if there is none.
    """

    row: Row
    explanation: Explanation | None
    verdict: str
    findings: tuple[str, ...]
    caution: str
    evidence: EvidenceTold | None = None
    small: bytes = b""

    @property
    def picture_bytes(self) -> int:
        """Total size of its pictures in bytes as base64."""
        pictures = [*_pictures(self.explanation), self.small, self.small]  # also in the row
        if self.evidence is not None and self.evidence.figure is not None:
            pictures += [self.evidence.figure.window, self.evidence.figure.spectrum]
        return sum(map(_encoded, pictures))


def _image_cards(
    rows: Iterable[Row],
    explanations: Mapping[str, Explanation],
    card: Card,
    most: int,
    most_bytes: int,
) -> list[_ImageCard]:
    """Return cards for the first `most` images, as far as `most_bytes` allows."""
    found: list[_ImageCard] = []
    room = most_bytes
    for row in rows:
        if len(found) == most:
            break
        one = _image_card(row, _explanation(explanations, row.sha256), card)
        room -= one.picture_bytes + _FRAME
        if room < 0:
            break
        found.append(one)
    return found


def _image_card(row: Row, explanation: Explanation | None, card: Card) -> _ImageCard:
    shown = explanation.evidence if explanation else None
    return _ImageCard(
        row=row,
        explanation=explanation,
        verdict=_verdict(row, card),
        findings=_findings(row, card),
        caution=_caution(row, card),
        evidence=evidence_told(shown, row.kind, row.score, card) if shown else None,
        small=_small(explanation),
    )


def _data_uri(picture: bytes) -> str:
    """Return a JPEG, PNG or WebP picture as a data URI."""
    kind = _TYPES[picture[:2]]
    return f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _rests_on_score(row: Row, card: Card) -> bool:
    """Whether the verdict follows from the score and the thresholds alone.

    The reason in the record decides, because a photograph unlike the calibration data may also
    have a score between the thresholds. Only without a reason is the score compared with them.
    """
    if row.verdict != UNDECIDED or row.reason:
        return row.verdict != UNDECIDED or row.reason == BETWEEN_THRESHOLDS
    if row.score is None or card.decision is None:
        return False
    return card.decision.verdict(row.score) == UNDECIDED


def _verdict(row: Row, card: Card) -> str:
    if row.verdict == UNDECIDED and _rests_on_score(row, card):
        return "No verdict: the score lies between the two thresholds."
    if row.verdict == UNDECIDED and row.score is None:
        return "No verdict: there is no score."
    if row.verdict == UNDECIDED:
        return "No verdict: the photograph is unlike those that the detector was calibrated on."
    if row.verdict == FAILED:
        return "Not judged."
    where = "" if card.decision is None else " by the detector's thresholds"
    most = f", most likely {row.top_class}" if row.top_class and row.kind == OTHER else ""
    return f"Classified as {row.verdict}{where}{most}."


def _findings(row: Row, card: Card) -> tuple[str, ...]:
    if row.log10_lr is None:
        why = "the detector gives none" if card.calibration is None else "there is no score"
        return (f"No likelihood ratio: {why}.",)
    times = ratio_text(abs(row.log10_lr))
    likelier, other = ("H1", "H2") if row.log10_lr >= 0 else ("H2", "H1")
    bound = ", the most that the calibration supports" if _at_bound(row.log10_lr, card) else ""
    said = f"about {times} times as probable if {likelier} is true as if {other} is true{bound}"
    if times == "1":
        said = "about equally probable if H1 is true and if H2 is true"
    beside = (
        beside_verdict(row.verdict, row.log10_lr, card.words) if card.decision is not None else ""
    )
    told = (f"A score of {number_text(row.score)} is {said}.", in_words(row.log10_lr, card.words))
    leans = leaning(row.log10_lr, card.words) if row.reason == BETWEEN_THRESHOLDS else ""
    return (*told, *filter(None, (beside, leans)))


def _caution(row: Row, card: Card) -> str:
    if row.verdict != UNDECIDED or row.log10_lr is None or _rests_on_score(row, card):
        return ""
    return (
        "This photograph is unlike those that the likelihood ratio was calibrated on. The ratio is "
        "given for completeness only and must not be relied on."
    )


def _at_bound(log10_lr: float, card: Card) -> bool:
    if card.calibration is None:
        return False
    bounds = (card.calibration.lower, card.calibration.upper)
    return any(abs(log10_lr - bound) < _AT_BOUND and bound for bound in bounds)


def _explanation(explanations: Mapping[str, Explanation], sha256: str) -> Explanation | None:
    try:
        return explanations.get(sha256) if sha256 else None
    except ValueError:  # damaged; the card is shown without it
        return None


def _pictures(explanation: Explanation | None) -> list[bytes]:
    if explanation is None:
        return []
    key_crop: Any = explanation.key_crop
    found = [explanation.thumbnail, explanation.heat or b""]
    return found + ([key_crop.crop, key_crop.seen] if key_crop else [])
