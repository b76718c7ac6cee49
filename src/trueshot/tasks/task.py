"""A task: the classes that a detector decides between, how examples are made, and verdict words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from trueshot.errors import TaskError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]
    Examples = Callable[[Pixels, int, np.random.Generator], Pixels]
else:  # a task's words must also be available without NumPy
    Pixels, Examples = Any, Callable
DecisionRule = Literal["against-class-0", "top-class"]

JPEG_BLOCK = 8  # in pixels

UNDECIDED, FAILED = "undecided", "error"  # verdicts that every task has
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,79}")
_MOST_CLASSES = 100
_LONGEST = 300


def is_name(text: str) -> bool:
    """Whether the text is a valid name of a class, task or verdict."""
    return _NAME.fullmatch(text) is not None and text not in (UNDECIDED, FAILED)


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The words of verdicts and findings.

    Args:
        propositions: One statement about a photograph of each class, to follow "that".
        alternative: The statement about a photograph of any class but 0, against which a likelihood
            ratio weighs the proposition of class 0. With two classes, the proposition of class 1.
        verdicts: The verdict words for class 0 and for any other class.
        plurals: Names for photographs of class 0 and of all others, within a sentence.
        errors: Names of the error rates: class 0 taken for another class, and the reverse.
    """

    propositions: tuple[str, ...]
    alternative: str
    verdicts: tuple[str, str]
    plurals: tuple[str, str]
    errors: tuple[str, str] = ("false alarm rate", "miss rate")

    def __post_init__(self) -> None:
        """Check that the words are short and on one line, since they may come from a bundle."""
        texts = (*self.propositions, self.alternative, *self.plurals, *self.errors)
        if not all(0 < len(text) <= _LONGEST and text.isprintable() for text in texts):
            raise TaskError("wording: each text must be one line of 1 to 300 printable characters")
        if not all(map(is_name, self.verdicts)) or self.verdicts[0] == self.verdicts[1]:
            raise TaskError(
                f"wording: verdicts must be two different valid names, got {self.verdicts}"
            )

    @classmethod
    def of(cls, classes: tuple[str, ...]) -> Wording:
        """Build plain words from the names of classes."""
        first, *others = classes
        other = others[0] if len(others) == 1 else f"not {first}"
        propositions = tuple(f"the photograph is of the class “{name}”" for name in classes)
        many = f"the photograph is not of the class “{first}”"
        return cls(
            propositions=propositions,
            alternative=propositions[1] if len(others) == 1 else many,
            verdicts=(first, other),
            plurals=(f"{first} images", f"{other if len(others) == 1 else 'other'} images"),
        )


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a detector decides.

    A photograph's score is the logsumexp of the logits of all classes but 0, minus the logit of
    class 0: the log odds that it is not of class 0. With two classes it is the difference of the
    logits.

    Args:
        name: A short name: `recapture`, `median-filtering`.
        classes: Names of the classes, in the order of labels and logits; 0 is the untouched image.
        examples: Function that makes an example of a class from a photograph. It takes the whole
            photograph, bytes (h, w, 3), the number of the class and a random generator, and returns
            bytes (h, w, 3), whose size may differ only if size is what the class is about. None:
            labels come with the data.
        decision: `against-class-0`: thresholds decide whether a photograph is of class 0;
            `top-class`: the largest logit decides which class it is.
        wording: Words of verdicts and findings; by default derived from the names of the classes.
        code: SHA-256 of the user's file that defines the task, set on loading; else empty.
        grid: Crops of a data set start at multiples of this many pixels from the upper left of an
            example. Use 8 if JPEG blocks are evidence; the crops of a scan are aligned the same
            way.
        uncompressed: Whether examples must be made from photographs without lossy compression.
            Those from lossy files are then scaled down to two fifths first, which removes the grid
            of JPEG blocks; the data set records which.

    Raises:
        TaskError: A name is not valid, there are too few classes or too many, or the wording is for
            other classes.
    """

    name: str
    classes: tuple[str, ...]
    examples: Examples | None = None
    decision: DecisionRule = "against-class-0"
    wording: Wording | None = None
    code: str = ""
    grid: int = 1
    uncompressed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        for name in (self.name, *self.classes):
            if not is_name(name):
                raise TaskError(
                    f"task {self.name!r}: {name!r} is not a valid name; use up to 80 letters, "
                    f"digits, spaces or ._-, and neither {UNDECIDED} nor {FAILED}"
                )
        if not 2 <= len(set(self.classes)) == len(self.classes) <= _MOST_CLASSES:
            raise TaskError(f"task {self.name!r}: classes must be 2 to 100 different names")
        if self.decision not in ("against-class-0", "top-class"):
            raise TaskError(
                f"task {self.name!r}: decision must be against-class-0 or top-class, "
                f"got {self.decision!r}"
            )
        if len(self.words.propositions) != len(self.classes):
            raise TaskError(
                f"task {self.name!r}: the wording must have one proposition for each class"
            )

    @property
    def words(self) -> Wording:
        """The wording, as given or derived from the names of the classes."""
        return self.wording or Wording.of(self.classes)

    @property
    def verdict_words(self) -> tuple[str, ...]:
        """All verdict words except undecided; the first is that of class 0."""
        return self.classes if self.decision == "top-class" else self.words.verdicts

    def label(self, name: str) -> int:
        """Return the number of a class.

        Raises:
            TaskError: The task has no such class.
        """
        if name not in self.classes:
            raise TaskError(
                f"{name!r} is not a class of {self.name}; use one of {', '.join(self.classes)}"
            )
        return self.classes.index(name)

    def example(self, pixels: Pixels, label: int, seed: int, sha256: str) -> Pixels:
        """Make an example from a photograph; the result depends on the arguments only.

        Args:
            pixels: The photograph, bytes (h, w, 3).
            label: Number of the class.
            seed: Seed of the data set.
            sha256: SHA-256 of the photograph's file.

        Raises:
            TaskError: The task makes no examples, or the result is not a photograph.
        """
        if self.examples is None:
            raise TaskError(
                f"{self.name}: this task makes no examples; its photographs must come with labels"
            )
        import numpy as np

        random = np.random.default_rng([seed, label, int(sha256[:16], 16)])
        try:
            made = self.examples(pixels.copy(), label, random)
        except Exception as error:  # it may be foreign code, which may raise anything
            line = (str(error).strip().splitlines() or [""])[0][:300]
            raise TaskError(
                f"{self.name}: making an example of {self.classes[label]} failed: "
                f"{type(error).__name__}: {line}"
            ) from error
        if not isinstance(made, np.ndarray) or made.dtype != np.uint8 or made.ndim != 3:
            raise TaskError(f"{self.name}: examples must be uint8 arrays of shape (h, w, 3)")
        if made.shape[2] != 3 or not made.size:
            raise TaskError(
                f"{self.name}: examples must have the shape (h, w, 3) and not be empty, "
                f"got {made.shape}"
            )
        return made

    def facts(self) -> dict[str, Any]:
        """Return name, classes, decision, wording and code as JSON values."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "decision": self.decision,
            "wording": asdict(self.words),
            "code": self.code,
        }

    @classmethod
    def of_facts(cls, facts: dict[str, Any]) -> Task:
        """Build a task, without its examples, from the result of `facts`.

        Raises:
            TaskError: The facts do not describe a task.
        """
        try:
            words: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in facts["wording"].items()
            }
            return cls(**{**facts, "classes": tuple(facts["classes"]), "wording": Wording(**words)})
        except (KeyError, TypeError, AttributeError) as error:
            raise TaskError(f"not a valid task: {error}") from error
