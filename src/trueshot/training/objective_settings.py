"""Settings of the training objective: defences are parts of it, and parts can be combined."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base class of settings: frozen; an unknown setting or a number that is not finite fails."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Penalty(Settings):
    """Equation 5: λ times the norm of the gradient of the loss with respect to the images."""

    weight: float = Field(gt=0, description="λ, in levels, for images of `reference_side`.")
    reference_side: int | None = Field(
        default=64,
        gt=0,
        le=10**6,
        description="Multiply λ of the 2-norm by side / reference_side, and λ of its square by the "
        "square of that; null: use the same λ at every size.",
    )
    norm: Literal["l2", "l1"] = Field(
        default="l2",
        description="Norm of the gradient. The 1-norm times ε is what a small step of ε levels "
        "adds to the loss.",
    )
    squared: bool = Field(default=False, description="Penalise the square of the norm.")
    images: Literal["clean", "all"] = Field(
        default="clean",
        description="Images of a fused minibatch that are penalised: the clean ones or all.",
    )
    method: Literal["exact", "difference"] = Field(
        default="exact",
        description="How the penalty is differentiated: exactly, or by a difference of two "
        "gradients (only for the 2-norm, not squared).",
    )
    step: float = Field(
        default=0.5,
        gt=0,
        description="Distance between the images of the two gradients, in levels.",
    )

    @model_validator(mode="after")
    def _differentiable(self) -> Penalty:
        if self.squared and self.method == "difference":
            raise ValueError("squared requires method: exact")
        if self.norm == "l1" and self.method == "difference":
            # A step along the signs moves every level as far as an attack does, so the difference
            # would differentiate mostly the cross-entropy of attacked images.
            raise ValueError("norm: l1 requires method: exact")
        return self

    def weight_at(self, side: int) -> float:
        """Return λ for square images of that side.

        A step of ε levels along the signs of the gradient raises the loss by ε times its 1-norm,
        which is at most ε·√d times its 2-norm, with d = 3·side² values. So equal protection against
        changes of ε levels needs λ proportional to the side for the 2-norm, proportional to its
        square for the squared 2-norm, and the same λ for the 1-norm.
        """
        if self.norm == "l1" or self.reference_side is None:
            return self.weight
        if self.squared:
            return self.weight * (side / self.reference_side) ** 2
        return self.weight * side / self.reference_side


class Fusion(Settings):
    """Equation 7 and figure 4: the first images of each minibatch are attacked."""

    adversarial: int = Field(
        default=32, ge=1, description="k: number of attacked images among the m of a batch."
    )
    weight: float = Field(
        default=0.2,
        gt=0,
        description="α, weight of an attacked image; with the loss trades or mart, their factor (β "
        "in TRADES, 6 there; λ in MART, 5 there).",
    )
    budget: tuple[float, float] = Field(
        default=(1.0, 5.0),
        description="Smallest and largest budget, in levels; drawn uniformly for each image.",
    )
    warm_up: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Fraction of the schedule over which budgets grow from zero to their full "
        "size.",
    )
    attack: Literal["fgsm", "n-fgsm", "pgd"] = Field(
        default="fgsm",
        description="fgsm: one step; n-fgsm: one step from a random point up to twice the budget "
        "away, without projection; pgd: several steps.",
    )
    steps: int = Field(default=3, ge=1, description="Number of steps of pgd.")
    relative_step: float = Field(
        default=0.5, gt=0, description="Step size of pgd, as a fraction of the budget."
    )
    loss: Literal["cross_entropy", "trades", "mart"] = Field(
        default="cross_entropy",
        description="cross_entropy: attacked images replace the clean ones and must get their "
        "label; trades, mart: the clean ones stay, and attacked images must be judged like them.",
    )
    batch_norm: Literal["running", "batch"] = Field(
        default="running",
        description="Batch statistics during the attack: running, as in the deployed detector, or "
        "those of the attacked images.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Fusion:
        low, high = self.budget
        if not 0 <= low <= high <= 255:
            raise ValueError(
                f"budget must be two levels from 0 to 255, the lower first; got {low}, {high}"
            )
        if self.batch_norm == "batch" and self.attack != "fgsm":
            raise ValueError("batch_norm: batch requires attack: fgsm")
        return self

    @property
    def keeps_clean(self) -> bool:
        """Whether the clean version of an attacked image stays in the minibatch."""
        return self.loss != "cross_entropy"

    def warmth(self, step: int, iterations: int) -> float:
        """Return the factor of the budgets at step number `step` of `iterations`."""
        if not self.warm_up:
            return 1.0
        return min(1.0, (step + 1) / (self.warm_up * iterations))


class Alignment(Settings):
    """GradAlign: aligns the gradients at an image and at a random point within the budget."""

    weight: float = Field(default=0.2, gt=0)
    budget: float = Field(default=2.0, gt=0, le=255, description="Budget, in levels.")


class WeightPerturbation(Settings):
    """Adversarial weight perturbation: minimises the objective at the worst nearby weights."""

    radius: float = Field(
        default=0.005,
        gt=0,
        lt=1,
        description="γ: size of the perturbation, relative to the norm of each layer's weights.",
    )


class Objective(Settings):
    """What training minimises: cross-entropy, optionally with some of these parts."""

    penalty: Penalty | None = None
    fusion: Fusion | None = None
    alignment: Alignment | None = None
    weight_perturbation: WeightPerturbation | None = None

    @model_validator(mode="after")
    def _combines(self) -> Objective:
        by_difference = self.penalty is not None and self.penalty.method == "difference"
        twins = self.fusion is not None and self.fusion.keeps_clean
        if by_difference and (twins or self.alignment is not None):
            raise ValueError(
                "penalty.method: difference works with cross-entropy only; use exact with TRADES, "
                "MART or alignment"
            )
        return self
