"""Recapture: is this a photograph of a scene, or of a screen or a print?"""

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
    """Return the wording of a task of which only the classes are known.

    Names that are not valid, as in an untrusted file, become `class 0`, `class 1` and so on.
    """
    named = tuple(each if is_name(each) else f"class {n}" for n, each in enumerate(classes))
    return RECAPTURE.words if classes == RECAPTURE.classes else Wording.of(named)
