"""Named reasons why a good figure may be false, and what each means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MEANINGS = {
    "one-step-beats-iterative": "One step breaks more images than many: the gradient changes "
    "from point to point, and the iterative attack got stuck.",
    "accuracy-rises-with-budget": "A larger budget includes every smaller one: an attack that "
    "breaks fewer images with more budget did not search it properly.",
    "large-budget-does-not-reach-chance": "With a budget large enough to make all images the same, "
    "a working attack leaves no more than chance accuracy.",
    "black-box-beats-white-box": "An attack without gradients breaks images that gradient attacks "
    "miss: the gradient is hidden.",
    "more-iterations-still-help": "Four times as many steps break more images: the figure comes "
    "from an attack that was stopped too early.",
    "random-start-helps": "From a random start the same attack breaks more images: the gradient is "
    "masked at the images themselves.",
    "zero-gradients": "Where the gradient is zero, gradient attacks do not move, however good or "
    "bad the detector is.",
    "flat-logits": "Noise of one level does not change the margin at all: attacks that only query "
    "the detector learn nothing.",
    "no-gradients": "No gradient reaches the image: only attacks without gradients were tried, "
    "and the true worst case is lower.",
    "no-finite-numbers": "Logits or gradients that are not finite numbers stop our attacks, but "
    "not an attacker.",
    "attacked-above-clean": "More images are classified correctly under attack than without: the "
    "noise tells the detector the label.",
    "gradient-turns-at-neighbours": "One level away, the gradient points in another "
    "direction: it is shattered, and steps along it lead nowhere.",
    "gradient-misleads": "The loss does not rise along its gradient: the gradient is not the "
    "slope.",
    "differs-under-gradient": "While a gradient is recorded, the detector gives other outputs: the "
    "detector that is attacked is not the one that judges.",
    "random-detector": "Two calls give different outputs: an attack on one draw misses the next, "
    "so an attack that averages over draws is needed.",
    "train-mode-statistics": "A verdict depends on other images or changes with use: the figures "
    "hold for these batches only.",
    "silent-resizing": "The detector does not look at the pixels that it is given: the figures at "
    "this size are those of another size.",
    "attack-lost-by-rounding": "The attack worked, but rounding to whole levels undid it: a "
    "stronger attack that allows for the rounding is needed.",
    "outputs-are-probabilities": "Outputs that never leave the range 0 to 1 are not logits: the "
    "verdict is taken at the wrong threshold, and gradients vanish where the detector is sure.",
    "one-verdict-for-all": "A detector that gives every image the same verdict is right for one "
    "class and cannot be attacked there: the figure is the share of that class.",
    "attack-beats-certificate": "A change within the certified radius made a verdict wrong: the "
    "proof, or its code, is wrong.",
    "too-few-images": "The interval is too wide to rely on the figure, or for other doubts to "
    "show.",
}
"""Meaning of each doubt in a sentence; the same text as on its page."""


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A reason why a good figure may be false.

    Args:
        name: Name of the doubt; its page is docs/doubts/NAME.md.
        finding: One sentence with the figures that raise the doubt.
        evidence: Those figures by name.
    """

    name: str
    finding: str
    evidence: Mapping[str, float] = field(default_factory=dict)

    @property
    def meaning(self) -> str:
        """What the doubt means, in the sentence of its page."""
        return MEANINGS.get(self.name, "This version has no page on this doubt.")
