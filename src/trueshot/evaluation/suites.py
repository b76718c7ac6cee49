"""Suites as data: which attacks, in which order, with how much effort, at which budgets.

Cheap and strong attacks come first, so that few images are left for the expensive ones. The first
attacks are tried on every image that was right, so that the effect of each alone is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from trueshot.attacks import FGSM, PGD, Attack, LeastLikelyClass, Norm, norm_of
from trueshot.attacks.apgd import APGD
from trueshot.attacks.control import UniformNoise
from trueshot.attacks.decision import RayS
from trueshot.attacks.expectation import Expectation
from trueshot.attacks.fab import FAB
from trueshot.attacks.second_opinions import FoolboxPGD, PyAutoAttackAPGD
from trueshot.attacks.square import Square
from trueshot.attacks.targeted import Targeted
from trueshot.attacks.through import Through
from trueshot.attacks.transfer import Transfer
from trueshot.channels import EVERYDAY, FILES, Channel, Png
from trueshot.errors import RunError
from trueshot.evaluation.planned_attacks import (
    AdversaryCapabilities,
    PlannedAttack,
    checked,
    fields_of,
    l2_per_level,
    planned,
)
from trueshot.evaluation.worst_case import On, Step, Threat
from trueshot.files import parse_yaml, read_text, sanitize
from trueshot.plugins import is_plugin

SUITES = ("paper", "strong", "file", "everyday")
AVERAGED = "pgd-mean"  # the attack on the mean of many draws of a random detector
_NAME = r"^[\w.+-]{0,60}$"  # in names of files


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AttackEntry(_Entry):
    """An attack in a suite file.

    Args:
        attack: A name of `ATTACKS`, or `path/to/file.py:NAME`.
        name: Name for tables; by default the name of the attack.
        images: Images on which it is tried: `survivors`, `right` or `all`; see `Step.on`.
        far: Whether it is also tried at `far_budgets`.
        target: Index of the class to reach; by default any wrong class will do.
        through: Whether to attack through a differentiable stand-in of the channel.
        settings: Settings of the attack, except its budget.
    """

    attack: str = Field(max_length=1000)
    name: str = Field(default="", pattern=_NAME)
    images: On = "survivors"
    far: bool = False
    target: int | None = Field(default=None, ge=0)
    through: bool = False
    settings: dict[str, Any] = {}


class ThreatEntry(_Entry):
    """A threat model in a suite file.

    Args:
        name: Name for tables; by default the name of the channel, or of the norm for `png`.
        norm: Norm of the budgets, and of all attacks that have a norm.
        channel: Name of the channel that the file passes, such as `jpeg-75`; `png` changes nothing.
        budgets: In levels of the norm; by default those of the run, converted from ε.
        far_budgets: See `Threat`.
        attacks: The attacks, in the order in which they are tried.
    """

    name: str = Field(default="", pattern=_NAME)
    norm: Norm = "linf"
    channel: str = "png"
    budgets: tuple[float, ...] = Field(default=(), max_length=100)
    far_budgets: tuple[float, ...] = Field(default=(), max_length=100)
    attacks: tuple[AttackEntry | str, ...] = Field(min_length=1, max_length=100)


class Suite(_Entry):
    """A suite defined by the user.

    Args:
        name: Name for results and their files.
        threats: The threat models.
        file: File it was read from; paths of attacks are relative to its folder.
    """

    name: str = Field(pattern=r"^[\w.-]{1,60}$")
    threats: tuple[ThreatEntry, ...] = Field(min_length=1, max_length=100)
    file: Path | None = Field(default=None, exclude=True)

    @field_validator("name")
    @classmethod
    def _own(cls, name: str) -> str:
        if name in (*SUITES, "photograph"):
            raise ValueError(f"{name} is a built-in suite; choose another name")
        return name

    def built(self, adversary: AdversaryCapabilities) -> tuple[Threat, ...]:
        """Return the threat models of the suite.

        Raises:
            RunError: A channel or an attack is unknown, an attack does not accept its settings or
                the norm, or two threat models have the same name.
        """
        threats = tuple(self._threat(entry, adversary) for entry in self.threats)
        names = [threat.name for threat in threats]
        if twice := [name for name in names if names.count(name) > 1]:
            raise RunError(f"two threats are called {twice[0]!r}; give each its own name")
        return threats

    def _threat(self, entry: ThreatEntry, adversary: AdversaryCapabilities) -> Threat:
        known = {channel.name: channel for channel in (*FILES, *EVERYDAY)}
        if entry.channel not in known:
            raise RunError(f"unknown channel {entry.channel!r}; choose from {', '.join(known)}")
        channel = known[entry.channel]
        lossless = isinstance(channel, Png)
        scale = l2_per_level(adversary.side) if entry.norm == "l2" else 1.0
        default = tuple(scale * budget for budget in adversary.budgets)
        steps = [
            self._attack(each, entry.norm, channel).step(adversary.seed) for each in entry.attacks
        ]
        steps += transferred(adversary) if entry.norm == "linf" else []
        return Threat(
            name=entry.name or (entry.norm if lossless else entry.channel),
            steps=adversary.usable([*steps, *adversary.steps(entry.norm)]),
            budgets=entry.budgets or default,
            far_budgets=entry.far_budgets,
            channel=None if lossless else channel,
            norm=entry.norm,
        )

    def _attack(self, entry: AttackEntry | str, norm: Norm, channel: Channel) -> PlannedAttack:
        entry = AttackEntry(attack=entry) if isinstance(entry, str) else entry
        folder = Path() if self.file is None else self.file.parent
        spec = str(folder / entry.attack) if is_plugin(entry.attack) else entry.attack
        more: dict[str, Any] = {"on": entry.images, "far": entry.far, "settings": entry.settings}
        found = planned(spec, **more, **({"name": entry.name} if entry.name else {}))
        if "norm" in {each.name for each in fields_of(found.kind)}:
            found = replace(found, settings={"norm": norm, **entry.settings})
        if entry.target is not None:
            name = entry.name or f"{found.name}-to-{entry.target}"
            kind = partial(_targeted, found.kind, entry.target)
            found = replace(found, name=name, kind=kind, target=entry.target)
        if entry.through:
            name = entry.name or f"{found.name}-through"
            found = replace(found, name=name, kind=partial(_through, found.kind, (channel,)))
        return checked(found)


def _targeted(kind: Callable[..., Attack], target: int, **given: Any) -> Attack:
    return Targeted(kind(**given), target=target)


def _through(kind: Callable[..., Attack], channels: tuple[Channel, ...], **given: Any) -> Attack:
    return Through(kind(**given), channels)


def load_suite(path: Path) -> Suite:
    """Read a suite from a YAML file; see docs/evaluation.md.

    Raises:
        RunError: The file cannot be read, or is not a valid suite; the message names the setting.
    """
    try:
        content = parse_yaml(read_text(path))
        if not isinstance(content, dict):
            raise ValueError("a suite file must be a mapping with name and threats")
        suite = Suite.model_validate({"name": path.stem, **content, "file": path})
        suite.built(AdversaryCapabilities())
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise RunError(f"{path}: {sanitize(problems, 1000)}") from error
    except (OSError, ValueError, RunError) as error:
        raise RunError(f"{path}: {error}") from error
    return suite


def suite_named(name: str) -> str | Suite:
    """Return the name of a built-in suite, or load a suite from a YAML file.

    Raises:
        RunError: The suite is unknown, or the file is not a valid suite.
    """
    if name in SUITES:
        return name
    if not name.endswith((".yaml", ".yml")):
        raise RunError(
            f"unknown suite {name!r}; choose from {', '.join(SUITES)}, photograph, or give a YAML "
            "file"
        )
    return load_suite(Path(name))


def threats_of(suite: str | Suite, adversary: AdversaryCapabilities) -> tuple[Threat, ...]:
    """Return the threat models of a suite.

    Raises:
        KeyError: The suite is unknown, or has no threat models (`everyday`).
        RunError: None of them has the norm of a given attack, which would never be tried.
    """
    if isinstance(suite, Suite):
        threats = suite.built(adversary)
    else:
        made = {"paper": paper_threats, "strong": strong_threats, "file": file_threats}
        threats = made[suite](adversary)
    if suite != "paper":  # which tries all given attacks
        norms = {threat.norm for threat in threats}
        for attack in adversary.attacks:
            if (norm := norm_of(attack.step().make(1.0))) not in norms:
                raise RunError(f"{attack.name}: no threat of this suite has its norm, {norm}")
    return threats


def paper_threats(adversary: AdversaryCapabilities) -> tuple[Threat, ...]:
    """Return a threat model with FGSM and LLCM, or the given attacks, each on all images."""
    attacks = adversary.attacks or (planned("fgsm"), planned("llcm"))
    steps = [replace(attack, on="all").step(adversary.seed) for attack in attacks]
    return (Threat(name="linf", steps=tuple(steps), budgets=adversary.budgets),)


def strong_threats(adversary: AdversaryCapabilities) -> tuple[Threat, ...]:
    """Return the threat model `linf` and, for a detector with gradients, `l2`; both save as PNG.

    `linf` continues at larger budgets until accuracy is at most 5 %.
    """
    steps = [*_linf_steps(adversary), *_dear_linf_steps(adversary), *_second_opinions(adversary)]
    linf = Threat(
        name="linf",
        steps=adversary.usable([*steps, *adversary.steps("linf")]),
        budgets=adversary.budgets,
        far_budgets=adversary.far,
    )
    if not adversary.differentiable:
        return (linf,)  # in L2 only random noise would be left
    scale = l2_per_level(adversary.side)
    return linf, Threat(
        name="l2",
        steps=(*_l2_steps(adversary), *adversary.steps("l2")),
        budgets=tuple(scale * budget for budget in adversary.budgets),
        norm="l2",
    )


def file_threats(
    adversary: AdversaryCapabilities, channels: Sequence[Channel] = FILES
) -> tuple[Threat, ...]:
    """Return a threat model for each channel, `png` among them; the attacker knows the channel."""
    more = adversary.steps("linf")
    return tuple(
        Threat(
            name=channel.name,
            steps=adversary.usable([*_file_steps(adversary, channel, channels), *more]),
            budgets=adversary.budgets,
            channel=None if isinstance(channel, Png) else channel,
        )
        for channel in channels
    )


def without_gradient(suite: str | Suite, adversary: AdversaryCapabilities) -> list[str]:
    """Return the names of the attacks left out because the detector has no gradient."""
    if adversary.differentiable or suite == "everyday":
        return []
    with_gradient = replace(adversary, differentiable=True)
    steps = [step for threat in threats_of(suite, with_gradient) for step in threat.steps]
    return list(dict.fromkeys(step.name for step in steps if step.wants_gradient))


def _step(
    name: str,
    kind: Callable[..., Attack],
    *,
    on: On = "survivors",
    far: bool = False,
    asks: bool = False,
    **settings: Any,
) -> Step:
    return Step(
        name=name,
        make=lambda budget: kind(budget=budget, **settings),
        wants_gradient=not asks,
        on=on,
        far=far,
    )


def _linf_steps(adversary: AdversaryCapabilities) -> list[Step]:
    effort, seed = adversary.effort, adversary.seed
    margin: dict[str, Any] = {"loss": "margin", "random_start": False, "seed": seed}
    return [
        _step("noise", UniformNoise, on="right", asks=True, draws=effort.noise, seed=seed),
        _step("fgsm", FGSM, on="right", far=True),
        _step("llcm", LeastLikelyClass, on="right"),
        _step("pgd", PGD, on="right", far=True, steps=effort.pgd, early_exit=True),
        *transferred(adversary),
        *_averaged(adversary),
        _step("apgd-margin", APGD, far=True, steps=effort.apgd, **margin),
    ]


def _dear_linf_steps(adversary: AdversaryCapabilities) -> list[Step]:
    effort, seed = adversary.effort, adversary.seed
    steps = [_step("apgd-ce", APGD, steps=effort.again, seed=seed + 1)]
    if effort.restarts:
        starts: dict[str, Any] = {"restarts": effort.restarts, "seed": seed + 2}
        starts |= {"random_start": True, "early_exit": True, "loss": "cross_entropy"}
        steps.append(_step("pgd-restarts", PGD, steps=effort.restarted, **starts))
    if effort.fab:
        steps.append(_step("fab", FAB, steps=effort.fab, seed=seed, filed=True))
    if effort.always_ask or not adversary.differentiable:
        steps += _asking(adversary)
    return steps


def _asking(adversary: AdversaryCapabilities) -> list[Step]:
    effort, far = adversary.effort, not adversary.differentiable
    return [
        _step("square", Square, far=far, asks=True, queries=effort.square, seed=adversary.seed),
        _step("rays", RayS, far=far, asks=True, queries=effort.rays),
    ]


def _second_opinions(adversary: AdversaryCapabilities) -> list[Step]:
    if not adversary.opinions:
        return []
    settings: dict[str, Any] = {"steps": adversary.effort.apgd, "seed": adversary.seed}
    return [
        _step("pyautoattack-apgd", PyAutoAttackAPGD, **settings),
        _step("foolbox-pgd", FoolboxPGD, **settings),
    ]


def _l2_steps(adversary: AdversaryCapabilities) -> list[Step]:
    effort, seed = adversary.effort, adversary.seed
    margin: dict[str, Any] = {"loss": "margin", "random_start": False, "seed": seed}
    noise: dict[str, Any] = {"draws": effort.noise, "seed": seed}
    return [
        _step("noise-l2", UniformNoise, on="right", asks=True, norm="l2", **noise),
        _step("pgd-l2", PGD, on="right", norm="l2", steps=effort.pgd, early_exit=True),
        _step("apgd-l2", APGD, norm="l2", steps=effort.apgd, **margin),
        _step("fab-l2", FAB, norm="l2", steps=effort.fab_l2, seed=seed, filed=True),
    ]


def transferred(adversary: AdversaryCapabilities) -> list[Step]:
    """Return the step of the attack transferred from another detector, if there is one."""
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
            early_exit=False,  # go far beyond the boundary, so that the attack transfers
        )
        return Transfer(attack=attack, source=source, name=name)

    return [Step(name="transfer", make=make, wants_gradient=False, on="right")]


def _averaged(adversary: AdversaryCapabilities) -> list[Step]:
    if not adversary.random:
        return []
    effort, seed = adversary.effort, adversary.seed

    def make(budget: float) -> Expectation:
        return Expectation(PGD(budget=budget, steps=effort.pgd), draws=effort.draws, seed=seed)

    return [Step(name=AVERAGED, make=make)]


def _file_steps(
    adversary: AdversaryCapabilities, channel: Channel, channels: Sequence[Channel]
) -> list[Step]:
    """Return attacks in memory, then attacks through the channel, or through any channel."""
    effort = adversary.effort
    plain = [step for step in _linf_steps(adversary) if step.name in ("fgsm", "pgd", "apgd-margin")]
    last = [] if adversary.differentiable else _asking(adversary)[:1]
    if isinstance(channel, Png):
        return [*plain, *last]
    lossy = tuple(each for each in channels if not isinstance(each, Png))
    through = partial(_through, PGD)
    unsure = _step("pgd-through-any", partial(through, lossy), steps=effort.through)
    return [
        plain[0],
        # No early exit: go far beyond the boundary, so that the attack survives the channel.
        _step("pgd", PGD, on="right", far=True, steps=effort.pgd),
        _step("pgd-through", partial(through, (channel,)), steps=effort.through),
        *([unsure] if effort.any_channel else []),
        *last,
    ]
