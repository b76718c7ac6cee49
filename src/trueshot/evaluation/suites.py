"""Suites as data: which attacks, in which order, with how much effort, at which budgets.

Cheap and strong attacks come first, so that few images are left for the dear ones. The first of
them are tried on every image that was right, so that what each does by itself is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trueshot.attacks import FGSM, PGD, LeastLikelyClass
from trueshot.attacks.apgd import APGD
from trueshot.attacks.control import UniformNoise
from trueshot.attacks.decision import RayS
from trueshot.attacks.expectation import Expectation
from trueshot.attacks.fab import FAB
from trueshot.attacks.second_opinions import FoolboxPGD, PyAutoAttackAPGD
from trueshot.attacks.square import Square
from trueshot.attacks.through import Through
from trueshot.attacks.transfer import Transfer
from trueshot.channels import FILES, Channel, Png
from trueshot.detector import Detector
from trueshot.evaluation.worst_case import Step, Threat

SUITES = ("paper", "strong", "file", "everyday")
BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)
FAR_BUDGETS = (8.0, 16.0, 32.0, 64.0, 128.0)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long each attack goes on. The defaults are for a slow machine; see `THOROUGH`.

    Args:
        noise: Draws of noise without aim.
        pgd: Steps of the first PGD, from the image itself.
        apgd: Steps of APGD.
        again: Steps of APGD on the second loss, with a seed of its own.
        restarts: Random starts of the second PGD.
        restarted: Its steps from each.
        fab: Steps of FAB.
        square: Queries of Square.
        rays: Queries of RayS.
        through: Steps of PGD through a channel.
        any_channel: Whether to try, beside the attack that knows the channel, the one that only
            knows that it is one of them.
        draws: Of a random detector, for each logit.
        boundary: Steps of FMN, for the distance to the boundary.
    """

    noise: int = 5
    pgd: int = 10
    apgd: int = 30
    again: int = 20
    restarts: int = 1
    restarted: int = 10
    fab: int = 20
    square: int = 200
    rays: int = 200
    through: int = 20
    any_channel: bool = False
    draws: int = 8
    boundary: int = 50


QUICK = Effort()
THOROUGH = Effort(
    noise=20,
    pgd=20,
    apgd=100,
    again=100,
    restarts=10,
    restarted=20,
    fab=100,
    square=5000,
    rays=5000,
    through=50,
    any_channel=True,
    draws=20,
    boundary=200,
)
"""Steps and queries as published: by one to two orders of magnitude slower."""


@dataclass(frozen=True, kw_only=True)
class AdversaryCapabilities:
    """What attackers have.

    Args:
        budgets: ε in levels, L∞, upwards.
        effort: How long they go on.
        seed: Of their random numbers.
        side: Height and width of the images, for budgets in L2.
        differentiable: Whether gradients lead through the detector: without them the attacks that
            follow one are left out.
        random: Whether the detector draws random numbers: then its mean is attacked as well.
        other: Name and detector from which attacks are transferred.
        opinions: Whether attacks of other libraries are asked for second opinions.
    """

    budgets: tuple[float, ...] = BUDGETS
    effort: Effort = QUICK
    seed: int = 0
    side: int = 64
    differentiable: bool = True
    random: bool = False
    other: tuple[str, Detector] | None = None
    opinions: bool = False

    @property
    def far(self) -> tuple[float, ...]:
        """Budgets beyond their own, on which the curve goes on."""
        return tuple(budget for budget in FAR_BUDGETS if budget > max(self.budgets))

    def usable(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Those attacks that work on this detector."""
        return tuple(step for step in steps if self.differentiable or not step.wants_gradient)


def l2_per_level(side: int) -> float:
    """Length in L2 that goes with an ε of one level in L∞: √(3·side²)/4.

    A quarter of the longest change that ε allows in L∞: a change of every value by ε/4, or of one
    value in sixteen by ε.
    """
    return float((3 * side * side) ** 0.5 / 4)


def threats_of(suite: str, adversary: AdversaryCapabilities) -> tuple[Threat, ...]:
    """The threat models of a suite.

    Raises:
        KeyError: No such suite; `paper` and `everyday` have none.
    """
    return {"strong": strong_threats, "file": file_threats}[suite](adversary)


def strong_threats(adversary: AdversaryCapabilities) -> tuple[Threat, ...]:
    """`linf`, on to where accuracy reaches 5 %, and `l2`, if gradients lead through the detector.

    Both are written as PNG.
    """
    linf = Threat(
        name="linf",
        steps=adversary.usable(
            [*_linf_steps(adversary), *_dear_linf_steps(adversary), *_second_opinions(adversary)]
        ),
        budgets=adversary.budgets,
        far_budgets=adversary.far,
    )
    if not adversary.differentiable:
        return (linf,)  # in L2 there would be nothing but noise without aim
    scale = l2_per_level(adversary.side)
    budgets = tuple(scale * budget for budget in adversary.budgets)
    return linf, Threat(name="l2", steps=tuple(_l2_steps(adversary)), budgets=budgets)


def file_threats(
    adversary: AdversaryCapabilities, channels: Sequence[Channel] = FILES
) -> tuple[Threat, ...]:
    """`png`, and every other file that an attacked image is sent as, which the attacker knows."""
    return tuple(
        Threat(
            name=channel.name,
            steps=adversary.usable(_file_steps(adversary, channel, channels)),
            budgets=adversary.budgets,
            channel=None if isinstance(channel, Png) else channel,
        )
        for channel in channels
    )


def left_out(suite: str, adversary: AdversaryCapabilities) -> list[str]:
    """Attacks that a detector without gradients cannot be tried with, by name."""
    if adversary.differentiable or suite not in ("strong", "file"):
        return []
    steps = [*_linf_steps(adversary), *_dear_linf_steps(adversary), *_l2_steps(adversary)]
    return list(dict.fromkeys(step.name for step in steps if step.wants_gradient))


def _linf_steps(adversary: AdversaryCapabilities) -> list[Step]:
    effort, seed = adversary.effort, adversary.seed
    return [
        Step(
            name="noise",
            make=lambda b: UniformNoise(budget=b, draws=effort.noise, seed=seed),
            wants_gradient=False,
            on_all=True,
        ),
        Step(name="fgsm", make=lambda b: FGSM(budget=b), on_all=True, far=True),
        Step(name="llcm", make=lambda b: LeastLikelyClass(budget=b), on_all=True),
        Step(
            name="pgd",
            make=lambda b: PGD(budget=b, steps=effort.pgd, early_exit=True),
            on_all=True,
            far=True,
        ),
        *transferred(adversary),
        *_averaged(adversary),
        Step(
            name="apgd-margin",
            make=lambda b: APGD(
                budget=b, steps=effort.apgd, loss="margin", random_start=False, seed=seed
            ),
            far=True,
        ),
    ]


def _dear_linf_steps(adversary: AdversaryCapabilities) -> list[Step]:
    effort, seed = adversary.effort, adversary.seed
    return [
        Step(name="apgd-ce", make=lambda b: APGD(budget=b, steps=effort.again, seed=seed + 1)),
        Step(
            name="pgd-restarts",
            make=lambda b: PGD(
                budget=b,
                steps=effort.restarted,
                loss="cross_entropy",
                random_start=True,
                restarts=effort.restarts,
                seed=seed + 2,
                early_exit=True,
            ),
        ),
        Step(name="fab", make=lambda b: FAB(budget=b, steps=effort.fab, seed=seed, filed=True)),
        Step(
            name="square",
            make=lambda b: Square(budget=b, queries=effort.square, seed=seed),
            wants_gradient=False,
            far=not adversary.differentiable,
        ),
        Step(
            name="rays",
            make=lambda b: RayS(budget=b, queries=effort.rays),
            wants_gradient=False,
            far=not adversary.differentiable,
        ),
    ]


def _second_opinions(adversary: AdversaryCapabilities) -> list[Step]:
    if not adversary.opinions:
        return []
    effort, seed = adversary.effort, adversary.seed
    return [
        Step(
            name="pyautoattack-apgd",
            make=lambda b: PyAutoAttackAPGD(budget=b, steps=effort.apgd, seed=seed),
        ),
        Step(
            name="foolbox-pgd",
            make=lambda b: FoolboxPGD(budget=b, steps=effort.apgd, seed=seed),
        ),
    ]


def _l2_steps(adversary: AdversaryCapabilities) -> list[Step]:
    effort, seed = adversary.effort, adversary.seed
    return [
        Step(
            name="noise-l2",
            make=lambda b: UniformNoise(budget=b, norm="l2", draws=effort.noise, seed=seed),
            wants_gradient=False,
            on_all=True,
        ),
        Step(
            name="pgd-l2",
            make=lambda b: PGD(budget=b, steps=effort.pgd, norm="l2", early_exit=True),
            on_all=True,
        ),
        Step(
            name="apgd-l2",
            make=lambda b: APGD(
                budget=b,
                steps=effort.apgd,
                loss="margin",
                norm="l2",
                random_start=False,
                seed=seed,
            ),
        ),
        Step(
            name="fab-l2",
            make=lambda b: FAB(budget=b, steps=effort.fab, norm="l2", seed=seed, filed=True),
        ),
    ]


def transferred(adversary: AdversaryCapabilities) -> list[Step]:
    """The attack that is lent by another detector, if there is one."""
    if adversary.other is None:
        return []
    name, source = adversary.other

    def make(budget: float) -> Transfer:
        attack = APGD(
            budget=budget,
            steps=adversary.effort.apgd,
            loss="margin",
            random_start=False,
            seed=adversary.seed,
            early_exit=False,  # as far to the wrong side as it gets: it has to last elsewhere
        )
        return Transfer(attack=attack, source=source, name=name)

    return [Step(name="transfer", make=make, wants_gradient=False, on_all=True)]


def _averaged(adversary: AdversaryCapabilities) -> list[Step]:
    if not adversary.random:
        return []
    effort = adversary.effort
    return [
        Step(
            name="pgd-mean",
            make=lambda b: Expectation(
                PGD(budget=b, steps=effort.pgd), draws=effort.draws, seed=adversary.seed
            ),
        )
    ]


def _file_steps(
    adversary: AdversaryCapabilities, channel: Channel, channels: Sequence[Channel]
) -> list[Step]:
    """Attacks in memory, then those that know the channel, or only that there will be one."""
    effort, seed = adversary.effort, adversary.seed
    plain = [step for step in _linf_steps(adversary) if step.name in ("fgsm", "pgd", "apgd-margin")]
    # Levels that have to last get as far to the wrong side as the budget allows.
    to_the_end = Step(
        name="pgd", make=lambda b: PGD(budget=b, steps=effort.pgd), on_all=True, far=True
    )
    asking = Step(
        name="square",
        make=lambda b: Square(budget=b, queries=effort.square, seed=seed),
        wants_gradient=False,
    )
    last = [] if adversary.differentiable else [asking]
    if isinstance(channel, Png):
        return [*plain, *last]
    lossy = tuple(each for each in channels if not isinstance(each, Png))

    def through(budget: float, *known: Channel) -> Through:
        return Through(PGD(budget=budget, steps=effort.through), known)

    unsure = Step(name="pgd-through-any", make=lambda b: through(b, *lossy))
    return [
        plain[0],
        to_the_end,
        Step(name="pgd-through", make=lambda b: through(b, channel)),
        *([unsure] if effort.any_channel else []),
        *last,
    ]
