"""Verdicts as lines for a terminal or a log file."""

from __future__ import annotations

from trueshot.calibration.verbal_scale import beside_verdict, in_figures, in_words
from trueshot.scanning.verdict import Verdict


def one_line(verdict: Verdict) -> str:
    """A verdict on one line: what, how strongly, of which file, and why not."""
    ratio = "" if verdict.log10_lr is None else f"LR {in_figures(verdict.log10_lr)}"
    parts = [f"{verdict.verdict:10}", f"{ratio:10}", verdict.file]
    said = verdict.reason or "; ".join(verdict.notes)
    return "  ".join([*parts, *([f"({said})"] if said else [])])


def long_text(verdict: Verdict) -> str:
    """A verdict at length, with its likelihood ratio in words: for a single photograph."""
    told = [verdict.file, f"  {verdict.verdict.upper()}"]
    if verdict.reason:
        told.append(f"  because: {verdict.reason}")
    if verdict.log10_lr is not None:
        ratio = in_figures(verdict.log10_lr)
        told.append(f"  likelihood ratio {ratio}. {in_words(verdict.log10_lr)}")
        beside = beside_verdict(verdict.verdict, verdict.log10_lr)
        told += [f"  {beside}"] if beside else []
    if verdict.score is not None:
        told.append(
            f"  score {verdict.score:.2f} from {verdict.crops} crops; "
            f"{verdict.width}×{verdict.height} {verdict.format}"
        )
    told += [f"  note: {note}" for note in verdict.notes]
    if verdict.sha256:
        told.append(f"  SHA-256 {verdict.sha256}")
    return "\n".join(told)
