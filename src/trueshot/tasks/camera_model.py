"""Which camera model took this photograph? One class per model.

Source: Bondi, Baroffio et al. 2017, "First steps toward camera model identification with
convolutional neural networks", arXiv:1603.01068. Photographs come with labels; there is no
untouched class, so the likeliest class is the answer.
"""

from __future__ import annotations

from trueshot.tasks.task import JPEG_BLOCK, Task, Wording

CAMERA_MODEL = "camera-model"


def camera_model(models: tuple[str, ...]) -> Task:
    """Return the task of telling these camera models apart.

    Raises:
        TaskError: There are fewer than two models, or a name is not valid.
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
