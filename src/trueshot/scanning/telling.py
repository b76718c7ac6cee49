"""Verdicts as lines for a terminal or a log file."""

from __future__ import annotations

from trueshot.calibration.words import in_words
from trueshot.scanning.verdicts import Verdict


def line(verdict: Verdict) -> str:
    """A verdict on one line: what, how strongly, of which file, and why not."""
    ratio = ratio_of(verdict)
    parts = [f"{verdict.verdict:10}", f"{ratio and f'LR {ratio}':10}", verdict.file]
    said = verdict.reason or "; ".join(verdict.notes)
    return "  ".join([*parts, *([f"({said})"] if said else [])])


def account(verdict: Verdict) -> str:
    """A verdict at length, with its likelihood ratio in words: for a single photograph."""
    told = [verdict.file, f"  {verdict.verdict.upper()}"]
    if verdict.reason:
        told.append(f"  because: {verdict.reason}")
    if verdict.log10_lr is not None:
        told.append(f"  likelihood ratio {ratio_of(verdict)}. {in_words(verdict.log10_lr)}")
    if verdict.score is not None:
        told.append(
            f"  score {verdict.score:.2f} from {verdict.crops} crops; "
            f"{verdict.width}×{verdict.height} {verdict.format}"
        )
    told += [f"  note: {note}" for note in verdict.notes]
    if verdict.sha256:
        told.append(f"  SHA-256 {verdict.sha256}")
    return "\n".join(told)


def ratio_of(verdict: Verdict) -> str:
    """The likelihood ratio as people write it: 31, or 1/31 where it speaks for an original."""
    if verdict.log10_lr is None:
        return ""
    size = f"{10 ** abs(verdict.log10_lr):.3g}"
    return size if verdict.log10_lr >= 0 or size == "1" else f"1/{size}"
