"""Recipes: all settings of a training run, validated, and read from and written to YAML."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from trueshot.errors import RecipeError
from trueshot.files import parse_yaml, read_text, sanitize
from trueshot.networks.barni import HistogramCNNSettings, PixelCNNSettings
from trueshot.networks.bondi import BondiSettings
from trueshot.networks.efficientnet_lite import EfficientNetLite0Settings
from trueshot.networks.lcnn import LCNNSettings
from trueshot.networks.median_residual import MedianResidualSettings
from trueshot.networks.mfnet import MFNetSettings
from trueshot.networks.mislnet import MISLnetSettings
from trueshot.networks.own import give, is_given
from trueshot.networks.registry import NETWORKS, NetworkSettings
from trueshot.networks.resnet import ResNetSettings
from trueshot.networks.spectral import SpectralSettings
from trueshot.networks.tuama import TuamaSettings
from trueshot.networks.yang_fusion import YangFusionSettings
from trueshot.plugins import is_plugin
from trueshot.training.objective_settings import Objective, Settings

PAPER_ITERATIONS = 100_000
_LARGEST_SPEED_UP = 10.0
_MOST_STEPS, _LARGEST_BATCH = 10**12, 10**6
_NotNegative = Annotated[float, Field(ge=0)]


class OwnNetworkSettings(NetworkSettings):
    """A user-defined network and its arguments besides `classes`."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(
        pattern=r".+\.py:[^\W\d]\w*",
        description="path/to/file.py:Name, relative to the recipe's folder: a class of nn.Module.",
    )
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file; may be left out in a recipe."
    )

    @field_validator("name")
    @classmethod
    def _without_folder(cls, name: str) -> str:
        return Path(name).name


def _kind(network: Any) -> str:
    name = network.get("name") if isinstance(network, dict) else getattr(network, "name", None)
    return "own" if isinstance(name, str) and is_plugin(name) else str(name)


# Made of trained networks; trained by bench/certificates.py.
_NOT_IN_RECIPES = ("lcnn-ensemble", "lipschitz")
_KNOWN = ["lcnn", *sorted(NETWORKS.keys() - {"lcnn", *_NOT_IN_RECIPES})]

_BY_NAME = Discriminator(
    _kind,
    custom_error_type="network",
    custom_error_message=(
        f"unknown network; choose one of {', '.join(_KNOWN)}, path/to/file.py:Name"
    ),
)


class InputContract(Settings):
    """Normalisation inside the detector: (levels - offset) / scale."""

    offset: float = 0.0
    scale: float = Field(default=1.0, gt=0)


class Optimizer(Settings):
    """The optimiser and its settings."""

    name: Literal["adam", "sgd"] = "adam"
    momentum: float = Field(default=0.9, gt=0, lt=1, description="Momentum of sgd.")
    weight_decay: float = Field(
        default=0.0, ge=0, description="Weight decay of the weights; offsets have none."
    )
    offset_rate: float = Field(
        default=1.0,
        gt=0,
        description="Learning rate of offsets and of the factors of batch normalisation, relative "
        "to that of weights; often 2 in Caffe's networks.",
    )


class Schedule(Settings):
    """The optimiser, the number of iterations and how the learning rate falls."""

    iterations: int = Field(default=PAPER_ITERATIONS, ge=1, le=_MOST_STEPS)
    batch: int = Field(default=64, ge=2, le=_LARGEST_BATCH)
    learning_rate: float = Field(default=1e-4, gt=0)
    decay: float = Field(default=0.9, gt=0, le=1)
    decay_every: int = Field(default=10_000, ge=1, le=_MOST_STEPS)
    inverse: tuple[_NotNegative, _NotNegative] | None = Field(
        default=None,
        description="(γ, p): multiply the learning rate by (1 + γ · step)^-p, as Caffe's `inv`, "
        "instead of decaying it in steps.",
    )
    optimizer: Optimizer = Optimizer()
    averaging: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Save a running mean of the weights, of which each step keeps this share; 0: "
        "save the weights of the last step.",
    )

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of step number `step`, counted from 0."""
        if self.inverse is not None:
            gamma, power = self.inverse
            return float(self.learning_rate * (1 + gamma * step) ** -power)
        return self.learning_rate * self.decay ** (step // self.decay_every)

    def shortened(self, iterations: int) -> Schedule:
        """Return the same schedule with another number of iterations.

        The decays keep their relative positions. A shorter schedule has its learning rate
        multiplied by the square root of the shortening, at most 10, which keeps the sum of its
        squares.
        """
        factor = self.iterations / iterations
        faster = min(math.sqrt(factor), _LARGEST_SPEED_UP) if factor > 1 else 1.0
        inverse = self.inverse and (self.inverse[0] * factor, self.inverse[1])
        return self.model_copy(
            update={
                "iterations": iterations,
                "learning_rate": self.learning_rate * faster,
                "decay_every": max(1, round(self.decay_every / factor)),
                "inverse": inverse,
            }
        )


class Recipe(Settings):
    """All settings of a training run. With the data set they determine the weights."""

    name: str = Field(
        max_length=60,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the recipe; reproduce also names the folder of its run after it.",
    )
    seed: int = Field(default=0, ge=0, lt=2**32)
    network: (
        Annotated[LCNNSettings, Tag("lcnn")]
        | Annotated[SpectralSettings, Tag("spectral")]
        | Annotated[EfficientNetLite0Settings, Tag("efficientnet-lite0")]
        | Annotated[ResNetSettings, Tag("resnet")]
        | Annotated[MedianResidualSettings, Tag("median-residual")]
        | Annotated[MFNetSettings, Tag("mfnet")]
        | Annotated[MISLnetSettings, Tag("mislnet")]
        | Annotated[PixelCNNSettings, Tag("barni-pixels")]
        | Annotated[PixelCNNSettings, Tag("barni-noise")]
        | Annotated[HistogramCNNSettings, Tag("barni-histograms")]
        | Annotated[BondiSettings, Tag("bondi")]
        | Annotated[TuamaSettings, Tag("tuama")]
        | Annotated[YangFusionSettings, Tag("yang-fusion")]
        | Annotated[OwnNetworkSettings, Tag("own")]
    ) = Field(default=LCNNSettings(), discriminator=_BY_NAME)
    input: InputContract = InputContract()
    augmentation: Literal["none", "symmetries"] = Field(
        default="none",
        description="symmetries: rotate and mirror each image at random, in one of eight ways.",
    )
    objective: Objective = Objective()
    schedule: Schedule = Schedule()

    @field_validator("network", mode="before")
    @classmethod
    def _named(cls, network: Any) -> Any:
        """Turn a name alone into a mapping; give a mapping without a name that of the LCNN."""
        if isinstance(network, str):
            return {"name": network}
        return {"name": "lcnn", **network} if isinstance(network, dict) else network

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        fusion, batch = self.objective.fusion, self.schedule.batch
        if fusion is None:
            return self
        if fusion.adversarial > batch:
            raise ValueError(
                f"objective.fusion.adversarial is {fusion.adversarial}, "
                f"more than the batch of {batch}"
            )
        penalty = self.objective.penalty
        wants_clean = self.objective.alignment is not None or (
            penalty is not None and penalty.images == "clean"
        )
        if fusion.adversarial == batch and not fusion.keeps_clean and wants_clean:
            raise ValueError(
                f"objective.fusion.adversarial is the whole batch of {batch}: it leaves no clean "
                "images, which alignment and a penalty on clean images need"
            )
        return self

    def shortened(self, iterations: int) -> Recipe:
        """Return the same recipe on a schedule of `iterations`; see `Schedule.shortened`.

        Raises:
            RecipeError: `iterations` is below 1.
        """
        if iterations < 1:
            raise RecipeError(f"iterations must be at least 1, got {iterations}")
        return self.model_copy(update={"schedule": self.schedule.shortened(iterations)})

    def to_yaml(self) -> str:
        """Return the recipe as YAML, which `load_recipe` reads back as an equal recipe."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with trueshot."""
    folder = resources.files("trueshot.training") / "recipes"
    return sorted(Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe that ships with trueshot by its name, or one of your own by its path.

    If the recipe names a network of your own, that file is run. The recipe gives its path, relative
    to the recipe's folder, and may give its SHA-256.

    Raises:
        RecipeError: There is no such recipe, it is not YAML, a setting is unknown or out of range,
            or the file of its network does not have the SHA-256 given.
        PluginError: The file of its network is missing, fails, or does not define that network.
    """
    if str(name_or_path) in recipe_names():
        folder = resources.files("trueshot.training") / "recipes"
        return parse_recipe((folder / f"{name_or_path}.yaml").read_text("utf-8"), str(name_or_path))
    path = Path(name_or_path)
    if not path.exists():
        raise RecipeError(
            f"{name_or_path}: no such file, and no shipped recipe of that name; "
            f"shipped recipes: {', '.join(recipe_names())}"
        )
    try:
        settings = _mapping(read_text(path), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    return _validated(_with_own_network(settings, path), str(path))


def parse_recipe(text: str, name: str) -> Recipe:
    """Parse YAML into a recipe, without running any file; errors refer to it by `name`.

    Raises:
        RecipeError: The text is not YAML, or a setting is unknown or out of range.
    """
    return _validated(_mapping(text, name), name)


def _with_own_network(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    """Load the file of a user-defined network, if there is one; return settings with its hash."""
    network = settings.get("network")
    network = {"name": network} if isinstance(network, str) else network
    if not isinstance(network, dict) or not is_plugin(str(network.get("name"))):
        return settings
    name, wanted = str(network["name"]), network.get("sha256")
    if wanted is None or not is_given(name, str(wanted)):
        found = give(str(path.parent / name))
        if wanted not in (None, found["sha256"]):
            raise RecipeError(
                f"{path}: {name} does not have the SHA-256 {wanted} given in the recipe; "
                "correct or remove it"
            )
        network = {**network, **found}
    return {**settings, "network": network}


def _mapping(text: str, name: str) -> dict[str, Any]:
    try:
        settings: Any = parse_yaml(text)
    except ValueError as error:
        raise RecipeError(f"{name}: not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise RecipeError(f"{name}: a recipe must be a mapping of settings")
    return settings


def _validated(settings: dict[str, Any], name: str) -> Recipe:
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(place) for place in item['loc']) or 'recipe'}: {item['msg']}"
            for item in error.errors()
        )
        raise RecipeError(f"{name}: {sanitize(problems, 1000)}") from error
