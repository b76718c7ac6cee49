"""Recipe: all settings of a training run, as YAML in and out, validated by name."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trueshot.errors import RecipeError
from trueshot.networks import DEFAULT_FILTERS

PAPER_ITERATIONS = 100_000
_LARGEST_SPEED_UP = 10.0


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(_Settings):
    """Which network, and its arguments."""

    name: Literal["lcnn"] = "lcnn"
    filters: tuple[int, int, int, int, int] = Field(
        default=DEFAULT_FILTERS,
        description="Filters of the five convolutions: an assumption, the paper gives none.",
    )


class InputContract(_Settings):
    """Normalisation inside the detector: (levels - offset) / scale."""

    offset: float = 0.0
    scale: float = Field(default=1.0, gt=0)


class Penalty(_Settings):
    """Equation 5: λ times the norm of the gradient of the loss at the images, in levels."""

    weight: float = Field(gt=0, description="λ, in levels, at images of `reference_side`.")
    reference_side: int | None = Field(
        default=64,
        gt=0,
        description="λ is multiplied by side / reference_side; null: the same λ at every size.",
    )
    squared: bool = Field(default=False, description="Penalise the square of the 2-norm.")
    images: Literal["clean", "all"] = Field(
        default="clean", description="Which images of a fused minibatch are penalised."
    )
    method: Literal["exact", "difference"] = Field(
        default="exact",
        description="How it is differentiated: exactly, or by a difference of two gradients.",
    )
    step: float = Field(
        default=0.5, gt=0, allow_inf_nan=False, description="Levels between those two."
    )

    @model_validator(mode="after")
    def _differentiable(self) -> Penalty:
        if self.squared and self.method == "difference":
            raise ValueError("squared: goes with the method exact")
        return self

    def weight_at(self, side: int) -> float:
        """λ for square images of that side.

        A step of ε levels along the signs of the gradient raises the loss by ε times its 1-norm,
        at most ε·√d times its 2-norm with d = 3·side² values. So equal protection from equal
        levels asks for λ in proportion to the side.
        """
        return self.weight * (side / self.reference_side if self.reference_side else 1.0)


class Fusion(_Settings):
    """Equation 7 and figure 4: the first images of a minibatch are attacked with FGSM."""

    adversarial: int = Field(default=32, ge=1, description="k, of the batch's m images.")
    weight: float = Field(default=0.2, gt=0, description="α, weight of an adversarial image.")
    budget: tuple[float, float] = Field(
        default=(1.0, 5.0), description="Levels; drawn uniformly between these for each image."
    )
    batch_norm: Literal["running", "batch"] = Field(
        default="running",
        description="Statistics while attacking: the running ones, as the deployed detector uses, "
        "or those of the attacked images.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Fusion:
        low, high = self.budget
        if not 0 <= low <= high <= 255:
            raise ValueError(f"budget: two levels, the lower first, wanted; got {low}, {high}")
        return self


class Objective(_Settings):
    """What training minimises: cross-entropy, with either part of the defence, or both."""

    penalty: Penalty | None = None
    fusion: Fusion | None = None


class Schedule(_Settings):
    """Adam, and a learning rate that falls by steps."""

    iterations: int = Field(default=PAPER_ITERATIONS, ge=1)
    batch: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-4, gt=0)
    decay: float = Field(default=0.9, gt=0, le=1)
    decay_every: int = Field(default=10_000, ge=1)

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of the step that is number `step`, from 0."""
        return self.learning_rate * self.decay ** (step // self.decay_every)

    def shortened(self, iterations: int) -> Schedule:
        """The same schedule in other than its own number of iterations.

        The decays keep their places relative to the whole. The learning rate is multiplied by the
        square root of the shortening, at most 10: so the sum of its squares is kept.
        """
        factor = self.iterations / iterations
        faster = min(math.sqrt(factor), _LARGEST_SPEED_UP) if factor > 1 else 1.0
        return self.model_copy(
            update={
                "iterations": iterations,
                "learning_rate": self.learning_rate * faster,
                "decay_every": max(1, round(self.decay_every / factor)),
            }
        )


class Recipe(_Settings):
    """All settings of a training run; with the data set it determines the weights."""

    name: str = Field(
        max_length=60,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Names the folder of a run too.",
    )
    seed: int = Field(default=0, ge=0, lt=2**32)
    network: Network = Network()
    input: InputContract = InputContract()
    augmentation: Literal["none", "symmetries"] = Field(
        default="none",
        description="symmetries: each image is turned and mirrored at random, one of eight ways.",
    )
    objective: Objective = Objective()
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        fusion, batch = self.objective.fusion, self.schedule.batch
        if fusion is not None and fusion.adversarial > batch:
            raise ValueError(
                f"objective.fusion.adversarial is {fusion.adversarial}, over the batch of {batch}"
            )
        return self

    def shortened(self, iterations: int) -> Recipe:
        """The same recipe on a schedule of `iterations`; see `Schedule.shortened`.

        Raises:
            RecipeError: Fewer than one iteration.
        """
        if iterations < 1:
            raise RecipeError(f"one iteration or more wanted, got {iterations}")
        return self.model_copy(update={"schedule": self.schedule.shortened(iterations)})

    def to_yaml(self) -> str:
        """The recipe as YAML that `load_recipe` reads back to an equal recipe."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def recipe_names() -> list[str]:
    """Names of the recipes that ship with trueshot."""
    folder = resources.files("trueshot.training") / "recipes"
    return sorted(Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe that ships with trueshot by its name, or one of your own by its path.

    Raises:
        RecipeError: No such recipe, no YAML, or a setting that is unknown or out of range.
    """
    if str(name_or_path) in recipe_names():
        folder = resources.files("trueshot.training") / "recipes"
        return parse_recipe((folder / f"{name_or_path}.yaml").read_text("utf-8"), str(name_or_path))
    path = Path(name_or_path)
    if not path.exists():
        raise RecipeError(
            f"{name_or_path}: no such file, and no recipe of that name; "
            f"known: {', '.join(recipe_names())}"
        )
    try:
        return parse_recipe(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def parse_recipe(text: str, name: str) -> Recipe:
    """Turn YAML into a recipe; `name` is what errors call it.

    Raises:
        RecipeError: No YAML, or a setting that is unknown or out of range.
    """
    try:
        settings: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{name}: not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise RecipeError(f"{name}: a recipe is a mapping of settings, this is none")
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(place) for place in item['loc']) or 'recipe'}: {item['msg']}"
            for item in error.errors()
        )
        raise RecipeError(f"{name}: {problems}") from error
