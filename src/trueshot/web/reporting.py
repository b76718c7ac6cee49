"""The report on the photographs on the page: like that of a scan, but sent and not stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trueshot.card import Card
from trueshot.inference.explanation import Explanation
from trueshot.scanning.verdict import Verdict
from trueshot.versions import versions
from trueshot.web.settings import ServiceSettings


def report_of(
    verdicts: Sequence[Verdict],
    explanations: Mapping[str, Explanation],
    facts: Mapping[str, Any],
    settings: ServiceSettings,
) -> bytes:
    """Return the self-contained HTML page on some verdicts.

    Args:
        verdicts: The verdicts, in order.
        explanations: Explanations by SHA-256 of the file.
        facts: Facts about the detector: its `sha256` and its `card`.
        settings: Settings used to judge.
    """
    from trueshot.reports.scan_report import scan_report

    return scan_report(
        [verdict.as_record() for verdict in verdicts],
        Card.model_validate(facts["card"]),
        bundle_sha256=facts["sha256"],
        explanations=explanations,
        versions=versions(),
        settings={
            "pixel limit": settings.pixel_limit,
            "time limit per file": f"{settings.seconds:g} s",
        },
    ).html
