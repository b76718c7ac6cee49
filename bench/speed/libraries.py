"""The same attacks and training steps in other libraries, called as documented."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trueshot.detector import Detector
from trueshot.pixels import LEVELS

Attacking = Callable[[], Tensor]


def foolbox_attacks(
    detector: Detector, images: Tensor, labels: Tensor, budget: float, steps: int
) -> dict[str, Attacking]:
    """FGSM and PGD by foolbox, which also computes gradients of all weights that require one.

    Calls `run`, which saves the forward pass that the usual call spends on checking success.
    """
    import foolbox

    frozen = copy.deepcopy(detector).requires_grad_(False)
    targets = {"foolbox": copy.deepcopy(detector), "foolbox on frozen weights": frozen}
    attacks = {
        "FGSM": foolbox.attacks.FGSM(random_start=False),
        "PGD": foolbox.attacks.LinfPGD(steps=steps, abs_stepsize=budget / 4, random_start=False),
    }
    criterion = foolbox.criteria.Misclassification(labels)

    def call(attack: Any, target: Detector) -> Attacking:
        model = foolbox.PyTorchModel(target, bounds=(0, LEVELS))
        return lambda: attack.run(model, images, criterion, epsilon=budget)

    return {
        f"{name}, {library}": call(attack, target)
        for name, attack in attacks.items()
        for library, target in targets.items()
    }


def art_attacks(
    detector: Detector, images: Tensor, labels: Tensor, budget: float, steps: int
) -> dict[str, Attacking]:
    """FGSM and PGD by ART, from arrays to arrays."""
    classifier = _art_classifier(copy.deepcopy(detector), images.shape[-1])
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent

    both: dict[str, Any] = {"eps": budget, "batch_size": len(images)}
    many = {"eps_step": budget / 4, "max_iter": steps, "num_random_init": 0, "verbose": False}
    attacks = {
        "FGSM, ART": FastGradientMethod(classifier, **both),
        "PGD, ART": ProjectedGradientDescent(classifier, **both, **many),
    }
    arrays, classes = images.numpy(), labels.numpy()

    def call(attack: Any) -> Attacking:
        return lambda: torch.from_numpy(attack.generate(arrays, y=classes))

    return {name: call(attack) for name, attack in attacks.items()}


def art_training_step(network: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """One step of ART's adversarial training, with FGSM at 3 levels on half of the minibatch.

    It ends with a step of Adam at a learning rate of zero.
    """
    classifier = _art_classifier(network, images.shape[-1])
    from art.attacks.evasion import FastGradientMethod
    from art.defences.trainer import AdversarialTrainer

    attack = FastGradientMethod(classifier, eps=3.0, batch_size=len(images))
    trainer = AdversarialTrainer(classifier, attack, ratio=0.5)
    arrays, classes = images.numpy(), labels.numpy()

    def step() -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # hides its progress bars
            trainer.fit(arrays, classes, batch_size=len(arrays), nb_epochs=1)

    return step


def _art_classifier(network: nn.Module, side: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.estimators.classification import PyTorchClassifier
    return PyTorchClassifier(
        network,
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(network.parameters(), lr=0.0),
        input_shape=(3, side, side),
        nb_classes=2,
        clip_values=(0, LEVELS),
        device_type="cpu",
    )
