"""Recapture: a photograph of a scene, or one of a screen or a print."""

from __future__ import annotations

from trueshot.tasks.task import Task, Wording, is_name

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


def words_for(classes: tuple[str, ...]) -> Wording:
    """The words of a task of which no more than the classes is known.

    Names that are none, as a file from a stranger may have, are numbered.
    """
    named = tuple(each if is_name(each) else f"class {n}" for n, each in enumerate(classes))
    return RECAPTURE.words if classes == RECAPTURE.classes else Wording.of(named)
