"""Counts of images classified correctly, and the result of each attack of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trueshot.proportion import Groups, Proportion

CLEAN = "clean"  # no attack; in `broken_by`: wrong without an attack
UNBROKEN = ""
NOT_TRIED = "-"

Counts = tuple[int, ...]
"""Number of images of each class, in the order of the classes."""

GroupCounts = tuple[tuple[Counts, Counts], ...]
"""For each group of images: those classified correctly and all, both per class."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of images classified correctly, and of all images, per class.

    Args:
        right: Images classified correctly, per class.
        total: All images, per class.
        by_group: The same counts for each group of images; intervals resample whole groups. Empty
            if the groups are unknown. Filled in by `EvaluationResult`, not stored in files.
    """

    right: Counts
    total: Counts
    by_group: GroupCounts = field(default=(), compare=False, repr=False)

    @property
    def proportion(self) -> Proportion:
        """Proportion of images classified correctly, all classes together."""
        return self._of(slice(None))

    @property
    def accuracy(self) -> float:
        """Share of images classified correctly, all classes together."""
        return self.proportion.share

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, over groups if they are known."""
        return self.proportion.interval95

    @property
    def others(self) -> Proportion | None:
        """The proportion of all classes except 0 together; None if they have no image."""
        return self._of(slice(1, None)) if sum(self.total[1:]) else None

    def of_class(self, label: int) -> Proportion | None:
        """Return the proportion of one class; None if it has no image."""
        return self._of(slice(label, label + 1)) if self.total[label] else None

    def _of(self, classes: slice) -> Proportion:
        counts = ((sum(r[classes]), sum(t[classes])) for r, t in self.by_group)
        groups: Groups = tuple((right, total) for right, total in counts if total)
        return Proportion(sum(self.right[classes]), sum(self.total[classes]), groups)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The result of one attack at one budget.

    Args:
        attack: Short name.
        threat: Threat model: `linf` or `l2` (rounded and saved as PNG), or the channel that the
            file passes, such as `jpeg-75` or `messenger`.
        budget: Budget in levels, in L∞ unless the threat has another norm.
        settings: All settings of the attack, as its repr.
        tried: Images attacked, per class: all, those that were right without an attack, or those
            that no attack had broken before; see `Step.on`.
        broken: Images tried that are misclassified after the file, per class.
        broken_before_file: Images tried that are misclassified in memory, before rounding and
            saving, per class.
        psnr: Mean PSNR over the images tried, in dB, between the clean image and the image after
            file and channel (before the channel, if that changes the size); None if none was tried.
        ssim: Mean SSIM over the first 16 of them.
        calls: Mean number of forward and of backward passes per image; None in older results.
        seconds: Time of the whole trial.
        flags: One character per image of the part: "-" if it was not tried, otherwise a number
            with bit 0 for broken, bit 1 for broken before the file, and bit 2 for called the target
            class. Empty in older results.
        target: Class that the attack aims for; None if any wrong class will do.
    """

    attack: str
    threat: str
    budget: float
    settings: str = ""
    tried: Counts
    broken: Counts
    broken_before_file: Counts
    psnr: float | None = None
    ssim: float | None = None
    calls: tuple[float, float] | None = None
    seconds: float = 0.0
    flags: str = ""
    target: int | None = None

    @property
    def was_tried(self) -> Flags:
        """Which images were attacked, shape (n,)."""
        return np.array([flag != NOT_TRIED for flag in self.flags], bool)

    @property
    def was_broken(self) -> Flags:
        """Which images were misclassified after their file, shape (n,)."""
        return self._those(1)

    @property
    def was_broken_before_file(self) -> Flags:
        """Which images were misclassified in memory, shape (n,)."""
        return self._those(2)

    @property
    def was_called_target(self) -> Flags:
        """Which images were called the target class after their file, shape (n,)."""
        return self._those(4)

    def _those(self, bit: int) -> Flags:
        return np.array([flag != NOT_TRIED and bool(int(flag) & bit) for flag in self.flags], bool)


def flags_of(tried: Flags, broken: Flags, broken_before_file: Flags, reached: Flags) -> str:
    """Encode the outcome of each image as in `Trial.flags`."""
    bits = broken + 2 * broken_before_file + 4 * reached
    pairs = zip(tried.tolist(), bits.tolist(), strict=True)
    return "".join(str(bit) if one else NOT_TRIED for one, bit in pairs)


@dataclass(frozen=True, kw_only=True)
class SingleAttack(Tally):
    """Counts of images classified correctly under one attack alone, or without an attack."""

    attack: str
    threat: str
    budget: float


@dataclass(frozen=True, kw_only=True)
class WorstCase(Tally):
    """Counts of images that no attack of the suite has broken at a budget.

    Args:
        right: Images right and unbroken, per class. For class 0 these are false alarms avoided; the
            other classes matter most, such as a recapture made to look original.
        total: All images, per class.
        threat: See `Trial`.
        budget: Budget in levels; 0 for no attack.
        right_before_file: As `right`, but judged in memory before rounding and saving.
        broken_by: For each image, in the order of the data set's part: the attack that broke it
            first, "" if none has, "clean" if it was wrong without an attack.
        flags_before_file: One character per image: "1" if it counts in `right_before_file`, else
            "0". Empty in results from before groups were recorded.
        before_file_by_group: As `by_group`, for `right_before_file`.
    """

    threat: str
    budget: float
    right_before_file: Counts
    broken_by: tuple[str, ...] = ()
    flags_before_file: str = ""
    before_file_by_group: GroupCounts = field(default=(), compare=False, repr=False)

    @property
    def before_file(self) -> Tally:
        """Counts of images classified correctly in memory, before rounding and saving."""
        by_group = self.before_file_by_group
        return Tally(right=self.right_before_file, total=self.total, by_group=by_group)


@dataclass(frozen=True, kw_only=True)
class Change(Tally):
    """Accuracy after an everyday change, which is no attack, at the frozen threshold.

    Args:
        right: Images classified correctly after the change, per class.
        total: All images, per class.
        name: `jpeg-75`, `resize-0.5`, `blur-1`, `messenger`, …; `none` for no change.
        settings: All settings of the change.
        auc: Area under the ROC curve after the change.
        flags: One character per image: "1" if classified correctly, else "0". Empty in results from
            before groups were recorded.
    """

    name: str
    settings: str
    auc: float
    flags: str = ""


def ones_of(flags: Flags) -> str:
    """Encode flags as one character per image: "1" if set, otherwise "0"."""
    return "".join("1" if flag else "0" for flag in flags.tolist())


def read_ones(flags: str) -> list[bool]:
    """Decode flags encoded by `ones_of`."""
    return [flag == "1" for flag in flags]
