"""Recapture: a photograph of a scene, or one of a screen or a print."""

from __future__ import annotations

from trueshot.tasks.task import Task, Wording

_PROPOSITIONS = (
    "the photograph is an original: taken of the scene itself",
    "the photograph is a recapture: a photo of a screen or of a print",
)

RECAPTURE = Task(
    name="recapture",
    classes=("original", "recaptured"),
    wording=Wording(
        propositions=_PROPOSITIONS,
        alternative=_PROPOSITIONS[1],
        verdicts=("original", "recaptured"),
        plurals=("originals", "recaptures"),
        errors=("BPCER", "APCER"),
    ),
)
