"""What a detector decides: its classes, how examples are made, and the words for its verdicts."""

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
else:  # words are wanted where no NumPy is
    Pixels, Examples = Any, Callable
DecisionRule = Literal["against-class-0", "top-class"]

JPEG_BLOCK = 8  # pixels

UNDECIDED, FAILED = "undecided", "error"  # what a verdict may be for every task
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,79}")
_MOST_CLASSES = 100
_LONGEST = 300


def is_name(text: str) -> bool:
    """Whether a class, a task or a verdict may be called so."""
    return _NAME.fullmatch(text) is not None and text not in (UNDECIDED, FAILED)


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The words of verdicts and findings.

    Args:
        propositions: What is claimed of a photograph of each class, as it follows "that".
        alternative: What is claimed of one of any class but 0: what a likelihood ratio weighs
            against the proposition of class 0. With two classes, the proposition of class 1.
        verdicts: What a photograph of class 0, and one of any other, is called.
        plurals: Photographs of class 0, and of all others, in a sentence.
        errors: Names of the rates at which photographs of class 0 are called otherwise, and
            others are called class 0.
    """

    propositions: tuple[str, ...]
    alternative: str
    verdicts: tuple[str, str]
    plurals: tuple[str, str]
    errors: tuple[str, str] = ("false alarm rate", "miss rate")

    def __post_init__(self) -> None:
        """Words come out of bundles, too: they are short, and of one line."""
        texts = (*self.propositions, self.alternative, *self.plurals, *self.errors)
        if not all(0 < len(text) <= _LONGEST and text.isprintable() for text in texts):
            raise TaskError("wording: texts of one line, up to 300 characters, wanted")
        if not all(map(is_name, self.verdicts)) or self.verdicts[0] == self.verdicts[1]:
            raise TaskError(f"wording: {self.verdicts} cannot be the words of verdicts")

    @classmethod
    def of(cls, classes: tuple[str, ...]) -> Wording:
        """Plain words made of the names of classes."""
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

    The score of a photograph is the logsumexp of the logits of all classes but 0, less the logit
    of class 0: the log odds that it is not of class 0. With two classes that is their margin.

    Args:
        name: Short: `recapture`, `median-filtering`.
        classes: Their names, in the order of labels and logits; 0 is the untouched image.
        examples: Makes an example of a class out of a photograph: takes the whole photograph,
            bytes (h, w, 3), the number of the class and a random generator, and returns bytes
            (h, w, 3), of another size if the class is one of sizes. None: labels come with the
            data.
        decision: Whether a photograph is of class 0 or not, which thresholds decide; or which of
            the classes it is, which the largest logit decides.
        wording: Words of verdicts and findings; by default made of the names of the classes.
        code: SHA-256 of the file that defines it, where that is a user's own; set on loading.
        grid: Crops of a data set begin at multiples of so many pixels, counted from the upper left
            of an example: 8 where blocks of a JPEG are evidence, as the crops of a scan do.
        uncompressed: Whether examples are only made of what was never compressed with loss.
            Photographs out of lossy files are scaled down first, to two fifths, so that the grid
            of their blocks is gone; the data set says which.

    Raises:
        TaskError: A name that cannot be one, too few classes, or wording for other classes.
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
                raise TaskError(f"task {self.name!r}: {name!r} cannot be the name of a class")
        if not 2 <= len(set(self.classes)) == len(self.classes) <= _MOST_CLASSES:
            raise TaskError(f"task {self.name!r}: 2 to 100 different classes wanted")
        if self.decision not in ("against-class-0", "top-class"):
            raise TaskError(f"task {self.name!r}: decision {self.decision!r} is not known")
        if len(self.words.propositions) != len(self.classes):
            raise TaskError(f"task {self.name!r}: one proposition for each class wanted")

    @property
    def words(self) -> Wording:
        """The wording, given or made of the names of the classes."""
        return self.wording or Wording.of(self.classes)

    @property
    def verdict_words(self) -> tuple[str, ...]:
        """What a photograph may be called beside undecided; the first is that of class 0."""
        return self.classes if self.decision == "top-class" else self.words.verdicts

    def label(self, name: str) -> int:
        """The number of a class.

        Raises:
            TaskError: The task has no such class.
        """
        if name not in self.classes:
            raise TaskError(f"{name!r}: no class of {self.name}; {', '.join(self.classes)}")
        return self.classes.index(name)

    def example(self, pixels: Pixels, label: int, seed: int, sha256: str) -> Pixels:
        """An example made from a photograph; it depends on the arguments alone.

        Args:
            pixels: The photograph, bytes (h, w, 3).
            label: Number of the class.
            seed: Of the data set.
            sha256: Of the photograph's file.

        Raises:
            TaskError: The task makes no examples, or what it made is no photograph.
        """
        if self.examples is None:
            raise TaskError(f"{self.name}: makes no examples; its photographs come with labels")
        import numpy as np

        random = np.random.default_rng([seed, label, int(sha256[:16], 16)])
        try:
            made = self.examples(pixels.copy(), label, random)
        except Exception as error:  # foreign code, perhaps: whatever it raises is its fault
            line = (str(error).strip().splitlines() or [""])[0][:300]
            raise TaskError(
                f"{self.name}: no example of {self.classes[label]}: {type(error).__name__}: {line}"
            ) from error
        if not isinstance(made, np.ndarray) or made.dtype != np.uint8 or made.ndim != 3:
            raise TaskError(f"{self.name}: its examples are no bytes of shape (h, w, 3)")
        if made.shape[2] != 3 or not made.size:
            raise TaskError(f"{self.name}: made an example of shape {made.shape}")
        return made

    def facts(self) -> dict[str, Any]:
        """All but how examples are made, as JSON has it."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "decision": self.decision,
            "wording": asdict(self.words),
            "code": self.code,
        }

    @classmethod
    def of_facts(cls, facts: dict[str, Any]) -> Task:
        """The task, without its examples, that `facts` tells of.

        Raises:
            TaskError: They tell of none.
        """
        try:
            words: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in facts["wording"].items()
            }
            return cls(**{**facts, "classes": tuple(facts["classes"]), "wording": Wording(**words)})
        except (KeyError, TypeError, AttributeError) as error:
            raise TaskError(f"no task: {error}") from error
