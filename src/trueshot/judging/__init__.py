"""From the pixels of a photograph to a verdict: crops, scores, likelihood ratio, reasons."""

from trueshot.judging.judge import Judge, Judged

__all__ = ["Judge", "Judged"]
