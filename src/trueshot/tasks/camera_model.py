"""Which camera model took this photograph? As many classes as there are models, one answer.

Source: Bondi, Baroffio et al. 2017, "First steps toward camera model identification with
convolutional neural networks", arXiv:1603.01068. Its photographs come with labels; there is no
untouched class, so the likeliest class is the answer.
"""

from __future__ import annotations

from trueshot.tasks.task import JPEG_BLOCK, Task, Wording

CAMERA_MODEL = "camera-model"


def camera_model(models: tuple[str, ...]) -> Task:
    """The task of telling these models apart.

    Raises:
        TaskError: Fewer than two models, or a name that is none.
    """
    propositions = tuple(f"the photograph was taken by a camera “{model}”" for model in models)
    plain = Wording.of(models)
    return Task(
        name=CAMERA_MODEL,
        classes=models,
        decision="top-class",
        wording=Wording(
            propositions=propositions,
            alternative=f"the photograph was not taken by a camera “{models[0]}”",
            verdicts=plain.verdicts,
            plurals=(f"photographs by {models[0]}", "photographs by other cameras"),
        ),
        grid=JPEG_BLOCK,
    )
