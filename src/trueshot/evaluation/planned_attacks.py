"""Attacks before their budget and seed are known, and the means of whoever attacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from typing import Any

from trueshot.attacks import FGSM, PGD, Attack, LeastLikelyClass, Norm, norm_of
from trueshot.attacks.apgd import APGD
from trueshot.attacks.control import UniformNoise
from trueshot.attacks.decision import RayS
from trueshot.attacks.fab import FAB
from trueshot.attacks.square import Square
from trueshot.detector import Detector
from trueshot.errors import RunError
from trueshot.evaluation.worst_case import On, Step
from trueshot.files import sanitize
from trueshot.plugins import is_plugin, load_plugin

BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)
FAR_BUDGETS = (8.0, 16.0, 32.0, 64.0, 128.0)
ATTACKS: Mapping[str, Callable[..., Attack]] = {
    "noise": UniformNoise,
    "fgsm": FGSM,
    "llcm": LeastLikelyClass,
    "pgd": PGD,
    "apgd": APGD,
    "fab": FAB,
    "square": Square,
    "rays": RayS,
}
"""Attacks by their name on the command line and in suite files."""

_ASKING = ("noise", "square", "rays")  # attacks that need no gradient


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Number of steps and queries of each attack. The defaults suit a slow machine.

    Args:
        noise: Draws of random noise.
        pgd: Steps of the first PGD, which starts at the image itself.
        apgd: Steps of APGD on the margin.
        again: Steps of APGD on cross-entropy, with another seed.
        restarts: Random starts of the second PGD; 0 omits this attack.
        restarted: Steps from each of these starts.
        fab: Steps of FAB in L∞; 0 omits this attack.
        fab_l2: Steps of FAB in L2.
        square: Queries of Square.
        rays: Queries of RayS.
        always_ask: Whether to try Square and RayS also on a detector with a gradient.
        through: Steps of PGD through a channel.
        any_channel: Whether to try, besides the attack that knows the channel, one that optimises
            for all lossy channels together.
        draws: Draws of a random detector that are averaged for each logit.
        boundary: Steps of FMN for the distance to the boundary.
    """

    noise: int = 5
    pgd: int = 10
    apgd: int = 30
    again: int = 20
    restarts: int = 0
    restarted: int = 10
    fab: int = 0
    fab_l2: int = 20
    square: int = 200
    rays: int = 200
    always_ask: bool = False
    through: int = 20
    any_channel: bool = False
    draws: int = 8
    boundary: int = 50


QUICK = Effort()
"""Without the attacks that broke almost nothing in measurements, see docs/evaluation.md."""

THOROUGH = Effort(
    noise=20,
    pgd=20,
    apgd=100,
    again=100,
    restarts=10,
    restarted=20,
    fab=100,
    fab_l2=100,
    square=5000,
    rays=5000,
    always_ask=True,
    through=50,
    any_channel=True,
    draws=20,
    boundary=200,
)
"""All attacks, with steps and queries as published; one to two orders of magnitude slower."""


@dataclass(frozen=True, kw_only=True)
class PlannedAttack:
    """An attack of a suite, before its budget and its seed are known.

    Args:
        name: Short name, for tables.
        kind: Factory of the attack; takes `budget` and the settings.
        settings: Settings that differ from the defaults; a `seed` is added to that of the run.
        on: See `Step`.
        far: See `Step`.
        wants_gradient: See `Step`.
        origin: Where the code comes from, if it is the user's.
        spec: The string given to `planned`; empty if the attack was made otherwise.
        target: See `Step`.
    """

    name: str
    kind: Callable[..., Attack]
    settings: Mapping[str, Any] = field(default_factory=dict)
    on: On = "survivors"
    far: bool = False
    wants_gradient: bool = True
    origin: str = ""
    spec: str = ""
    target: int | None = None

    def step(self, seed: int = 0) -> Step:
        """Return the attack as a step of a suite, with the seed of a run."""
        settings = dict(self.settings)
        if "seed" in {each.name for each in fields_of(self.kind)}:
            settings["seed"] = seed + int(settings.get("seed", 0))
        return Step(
            name=self.name,
            make=lambda budget: self.kind(budget=budget, **settings),
            wants_gradient=self.wants_gradient,
            on=self.on,
            far=self.far,
            origin=self.origin,
            target=self.target,
        )


def planned(attack: str, **more: Any) -> PlannedAttack:
    """Look up an attack by name, or load it from a file: `path/to/file.py:NAME` runs the file.

    Args:
        attack: A key of `ATTACKS`, or a file and the name in it of a frozen dataclass that has a
            field `budget`.
        more: Fields of `PlannedAttack`; the default name is `attack`, or NAME for a file.

    Raises:
        RunError: The attack is unknown, the file does not define an attack, or the attack does not
            accept the settings.
        PluginError: The file is missing, fails, or does not define the name.
    """
    origin, gradient = "", attack not in _ASKING
    if is_plugin(attack):
        plugin = load_plugin(attack)
        kind, name = plugin.value, plugin.name
        origin = f"{plugin.path.name} {plugin.sha256[:16]}"
        frozen = is_dataclass(kind) and isinstance(kind, type) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        if (
            not frozen
            or "budget" not in {each.name for each in fields_of(kind)}
            or not callable(kind)
        ):
            raise RunError(f"{attack}: must be a frozen dataclass with a field budget")
        gradient = getattr(kind, "wants_gradient", True)
    elif attack in ATTACKS:
        kind, name = ATTACKS[attack], attack
    else:
        raise RunError(
            f"unknown attack {attack!r}; choose from {', '.join(ATTACKS)}, or give "
            "path/to/file.py:NAME"
        )
    known = {"name": name, "wants_gradient": gradient, "origin": origin, "spec": attack}
    return checked(PlannedAttack(kind=kind, **{**known, **more}))


def checked(attack: PlannedAttack) -> PlannedAttack:
    """Return the attack, after checking that it can be made.

    Raises:
        RunError: It does not accept its settings, or has an unknown norm.
    """
    try:
        norm_of(attack.step().make(1.0))
    except (TypeError, ValueError) as error:
        raise RunError(f"{attack.spec}: {sanitize(str(error), 300)}") from error
    return attack


def fields_of(kind: Any) -> tuple[Any, ...]:
    """Return the fields of a dataclass; of a partial call, those of its first argument, if any.

    So the fields of an attack that a suite wraps (`targeted`, `through`) are still known.
    """
    if isinstance(kind, partial):
        return fields_of(kind.args[0]) if kind.args else ()
    return fields(kind) if is_dataclass(kind) else ()


@dataclass(frozen=True, kw_only=True)
class AdversaryCapabilities:
    """The means of the attacker.

    Args:
        budgets: L∞ budgets ε in levels, in increasing order.
        effort: Number of steps and queries of each attack.
        seed: Seed of the attacks.
        side: Height and width of the images, for budgets in L2.
        differentiable: Whether the detector has gradients; if not, attacks that need one are left
            out.
        random: Whether the detector draws random numbers; if so, its mean is attacked as well.
        other: Name and detector from which attacks are transferred.
        opinions: Whether to run attacks of other libraries as second opinions.
        attacks: Further attacks; in the paper's suite they replace the suite's own.
    """

    budgets: tuple[float, ...] = BUDGETS
    effort: Effort = QUICK
    seed: int = 0
    side: int = 64
    differentiable: bool = True
    random: bool = False
    other: tuple[str, Detector] | None = None
    opinions: bool = False
    attacks: tuple[PlannedAttack, ...] = ()

    @property
    def far(self) -> tuple[float, ...]:
        """Budgets above `budgets` at which the curve continues."""
        return tuple(budget for budget in FAR_BUDGETS if budget > max(self.budgets))

    def usable(self, steps: Iterable[Step]) -> tuple[Step, ...]:
        """Return the steps that work on this detector."""
        return tuple(step for step in steps if self.differentiable or not step.wants_gradient)

    def steps(self, norm: Norm) -> list[Step]:
        """Return the steps of those `attacks` whose budget is meant in `norm`."""
        steps = [attack.step(self.seed) for attack in self.attacks]
        return [step for step in steps if norm_of(step.make(1.0)) == norm]


def l2_per_level(side: int) -> float:
    """Return the L2 budget that corresponds to an ε of one level in L∞: √(3·side²)/4.

    This is a quarter of the largest L2 norm that ε allows in L∞: a change of every value by ε/4, or
    of one value in sixteen by ε.
    """
    return float((3 * side * side) ** 0.5 / 4)
