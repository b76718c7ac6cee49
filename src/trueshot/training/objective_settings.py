"""Settings of the training objective: defences are parts of it, and parts can be combined."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base class of settings: frozen; an unknown setting or a number that is not finite fails."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Penalty(Settings):
    """Equation 5: λ times the norm of the gradient of the loss at the images, in levels."""

    weight: float = Field(gt=0, description="λ, in levels, at images of `reference_side`.")
    reference_side: int | None = Field(
        default=64,
        gt=0,
        description="λ of the 2-norm is multiplied by side / reference_side, λ of its square by "
        "the square of that; null: the same λ at every size.",
    )
    norm: Literal["l2", "l1"] = Field(
        default="l2",
        description="Of the gradient. The 1-norm times ε is what a small step of ε levels gains.",
    )
    squared: bool = Field(default=False, description="Penalise the square of the norm.")
    images: Literal["clean", "all"] = Field(
        default="clean", description="Which images of a fused minibatch are penalised."
    )
    method: Literal["exact", "difference"] = Field(
        default="exact",
        description="How it is differentiated: exactly, or by a difference of two gradients, which "
        "is for the 2-norm, not squared.",
    )
    step: float = Field(default=0.5, gt=0, description="Levels between those two.")

    @model_validator(mode="after")
    def _differentiable(self) -> Penalty:
        if self.squared and self.method == "difference":
            raise ValueError("squared: goes with the method exact")
        if self.norm == "l1" and self.method == "difference":
            # A step along the signs moves every level as far as an attack does, so the difference
            # would differentiate mostly the cross-entropy of attacked images.
            raise ValueError("norm: l1 goes with the method exact")
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
    """Equation 7 and figure 4: the first images of a minibatch are attacked."""

    adversarial: int = Field(default=32, ge=1, description="k, of the batch's m images.")
    weight: float = Field(
        default=0.2,
        gt=0,
        description="α, weight of an attacked image; where they are the loss, the factor of TRADES "
        "(β, 6 there) or of MART (λ, 5 there).",
    )
    budget: tuple[float, float] = Field(
        default=(1.0, 5.0), description="Levels; drawn uniformly between these for each image."
    )
    warm_up: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the schedule over which budgets grow from nothing to their own.",
    )
    attack: Literal["fgsm", "n-fgsm", "pgd"] = Field(
        default="fgsm",
        description="fgsm: one step; n-fgsm: one step from a random place up to twice as far away "
        "as the budget, not drawn back into it; pgd: several steps.",
    )
    steps: int = Field(default=3, ge=1, description="Of pgd.")
    relative_step: float = Field(default=0.5, gt=0, description="Of pgd: share of the budget.")
    loss: Literal["cross_entropy", "trades", "mart"] = Field(
        default="cross_entropy",
        description="What is asked of an attacked image: its label, in the clean image's place; "
        "or, beside the clean image, to be judged as that is (TRADES, MART).",
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
        if self.batch_norm == "batch" and self.attack != "fgsm":
            raise ValueError("batch_norm: batch goes with the attack fgsm")
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
    """GradAlign: gradients at an image and at a random place in the budget point the same way."""

    weight: float = Field(default=0.2, gt=0)
    budget: float = Field(default=2.0, gt=0, le=255, description="Levels.")


class WeightPerturbation(Settings):
    """Adversarial weight perturbation: the objective is that of the worst weights near by."""

    radius: float = Field(
        default=0.005, gt=0, lt=1, description="γ: share of the norm of each layer's weights."
    )


class Objective(Settings):
    """What training minimises: cross-entropy, with any of these parts."""

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
                "penalty.method: difference goes with cross-entropy alone; with TRADES, MART or "
                "alignment the method is exact"
            )
        return self
