"""The plan of docs/security-of-forensics.md: tasks, their detectors, and the commands of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SUITES = Path(__file__).parent
STAGES = ("prepare", "train", "forensics", "strong", "transfer", "more")
PLAIN, SECURE, PGD = "plain", "secure (Zhao et al.)", "PGD training"
_PREPARED = ("--size", "64", "--workers", "1")
_SPLIT = ("--fractions", "0.6", "0.1", "0.3")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command, and the file that it creates.

    Args:
        words: Arguments of `trueshot`, or of `python` if the first is a script.
        makes: Path of the file, relative to the table's folder.
        needs: Files that must exist before.
    """

    words: tuple[str, ...]
    makes: str
    needs: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """Kind of the command; for an evaluation, its suite."""
        if self.words[0] == "evaluate":
            return Path(self.makes).name.split("-")[0]
        return self.words[0] if self.words[0] in STAGES else STAGES[0]

    @property
    def line(self) -> str:
        """The command as typed in a shell, in the table's folder."""
        return " ".join(("python" if self.words[0].endswith(".py") else "trueshot", *self.words))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A detector of a subject.

    Args:
        recipe: Name of the recipe.
        iterations: Training steps.
        kind: How the detector is trained.
        start: Recipe of the run whose weights it starts from; empty for random weights.
    """

    recipe: str
    iterations: int
    kind: str = PLAIN
    start: str = ""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A data set and its detectors.

    Args:
        key: Short name, used for folders.
        title: Name for people.
        data: Arguments of `prepare` for its data set.
        detectors: Detectors to train; the first is the one whose trainings are compared.
        crops: Number of crops judged per class.
        classes: Number of classes.
        aim: Target for the accuracy without attack, in per cent.
        published: Results reported in papers, and their data.
        note: Further remarks.
    """

    key: str
    title: str
    data: tuple[str, ...]
    detectors: tuple[Trained, ...]
    crops: int
    classes: int = 2
    aim: float | None = None
    published: str = ""
    note: str = ""

    def run_of(self, trained: Trained) -> str:
        """Return the name of a detector's run and results."""
        return f"{self.key}-{trained.recipe}"

    def steps(self, recipes: Sequence[str] = ()) -> Iterator[Step]:
        """Yield all commands in a valid order, or only those for detectors with these recipes."""
        chosen = [each for each in self.detectors if not recipes or each.recipe in recipes]
        yield from self._data()
        for trained in chosen:
            yield self._training(trained)
        for suite in ("forensics", "more"):
            for trained in chosen:
                yield self._evaluated(trained, str(SUITES / f"{suite}.yaml"), suite, self.crops)
        for trained in chosen:
            worst = ("--threat", "linf", "--budget", "1")
            few = max(1, -(-100 // self.classes))
            yield self._evaluated(trained, "strong", "strong", few, *worst)
        for judge, source in self.transfers():
            if judge in chosen and source in chosen:
                yield self._transfer(judge, source)

    def transfers(self) -> Iterator[tuple[Trained, Trained]]:
        """Yield pairs of plain detectors: one judges crops that were attacked on the other."""
        plain = [trained for trained in self.detectors if trained.kind == PLAIN]
        for judge in plain:
            for source in plain:
                if judge != source:
                    yield judge, source

    def result(self, trained: Trained, suite: str) -> str:
        """Return the path of a detector's result."""
        return f"results/{suite}-{self.run_of(trained)}-64px.json"

    def lent(self, judge: Trained, source: Trained) -> str:
        """Return the path of a detector's result on crops that were attacked on another one."""
        return f"results/transfer-{self.run_of(judge)}-by-{source.recipe}-64px.json"

    def _data(self) -> Iterator[Step]:
        if self.key in _SOURCES:
            words, makes = _SOURCES[self.key]
            yield Step(words=words, makes=makes)
        yield Step(
            words=("prepare", *self.data, *_PREPARED, "--out", f"data/{self.key}"),
            makes=f"data/{self.key}/dataset.json",
        )

    def _bundle(self, trained: Trained) -> str:
        return f"runs/{self.run_of(trained)}/detector.safetensors"

    def _training(self, trained: Trained) -> Step:
        words = ["train", f"data/{self.key}", "--recipe", trained.recipe]
        words += ["--iterations", str(trained.iterations), "--validation-crops", "50"]
        needs = [f"data/{self.key}/dataset.json"]
        if trained.start:
            needs.append(f"runs/{self.key}-{trained.start}/detector.safetensors")
            words += ["--start", needs[-1]]
        makes = self._bundle(trained)
        words += ["--out", str(Path(makes).parent)]
        return Step(words=tuple(words), makes=makes, needs=tuple(needs))

    def _evaluated(
        self, trained: Trained, suite: str, stem: str, crops: int, *more: str, name: str = ""
    ) -> Step:
        bundle, name = self._bundle(trained), name or self.run_of(trained)
        words = ("evaluate", bundle, "--dataset", f"data/{self.key}", "--suite", suite)
        words += ("--crops", str(crops), "--name", name, "--no-doubts", *more, "--out", "results")
        return Step(words=words, makes=f"results/{stem}-{name}-64px.json", needs=(bundle,))

    def _transfer(self, judge: Trained, source: Trained) -> Step:
        lent = self._bundle(source)
        name = f"{self.run_of(judge)}-by-{source.recipe}"
        suite, more = str(SUITES / "transfer.yaml"), ("--transfer-from", lent)
        step = self._evaluated(judge, suite, "transfer", self.crops, *more, name=name)
        return Step(words=step.words, makes=step.makes, needs=(*step.needs, lent))


_SOURCES = {
    "cameras": (
        (str(SUITES.parent / "simulated_cameras.py"), "PHOTOS/cid22", "cameras", "--shots", "250"),
        "cameras/manifest.csv",
    ),
    "phones": (
        (str(SUITES / "phones.py"), "RECAPTURE-DEV", "RECAPTURE-WHOLE", "phones.csv"),
        "phones.csv",
    ),
}
"""Arguments and output of the scripts that make a data set's manifest, where one is needed."""


def _task(variant: str, per_class: int) -> tuple[str, ...]:
    return ("PHOTOS/cid22", "--task", variant, "--per-class", str(per_class), *_SPLIT)


def _manifest(path: str, per_class: int, split: tuple[str, ...] = _SPLIT) -> tuple[str, ...]:
    return ("--manifest", path, "--task", "camera-model", "--per-class", str(per_class), *split)


def _three(recipe: str, plain: int, more: int) -> tuple[Trained, ...]:
    """Return a network trained plainly, and two defences trained from its weights."""
    return (
        Trained(recipe=recipe, iterations=plain),
        Trained(recipe=f"{recipe}-secure", iterations=more, kind=SECURE, start=recipe),
        Trained(recipe=f"{recipe}-pgd", iterations=more, kind=PGD, start=recipe),
    )


SUBJECTS = (
    Subject(
        key="median-3x3-jpeg90",
        title="median 3 × 3, JPEG 90",
        data=_task("median-filtering-3x3-jpeg90", 16000),
        detectors=(
            *_three("median-residual-short", 2000, 200),
            Trained(recipe="mislnet-short", iterations=1500),
            Trained(recipe="mfnet-short", iterations=500),
        ),
        crops=200,
        aim=92.0,
        published="94.0 % (Chen et al. 2015, 15,352 images)",
    ),
    Subject(
        key="median-5x5-jpeg90",
        title="median 5 × 5, JPEG 90",
        data=_task("median-filtering-5x5-jpeg90", 8000),
        detectors=(Trained(recipe="median-residual-short", iterations=1000),),
        crops=200,
        aim=95.0,
        published="96.8 % (the same)",
    ),
    Subject(
        key="median-3x3-jpeg70",
        title="median 3 × 3, JPEG 70",
        data=_task("median-filtering-3x3-jpeg70", 8000),
        detectors=(Trained(recipe="median-residual-short", iterations=1000),),
        crops=200,
        aim=82.0,
        published="85.1 % (the same)",
    ),
    Subject(
        key="double-jpeg",
        title="double JPEG, aligned, 95 after less",
        data=_task("double-jpeg-aligned-below95", 10000),
        detectors=(
            *_three("barni-histograms-short", 800, 100),
            Trained(recipe="barni-pixels-short", iterations=2500),
            Trained(recipe="barni-noise-short", iterations=3000),
        ),
        crops=200,
        aim=95.0,
        published="not read in the full text (Barni et al. 2017)",
    ),
    Subject(
        key="manipulation",
        title="manipulation, six classes",
        data=_task("manipulation-published", 6000),
        detectors=_three("mislnet-short", 3000, 400),
        crops=70,
        classes=6,
        aim=97.0,
        published="up to 99.97 % (Bayar, Stamm 2018, abstract, 1.2 M patches of 256 px)",
        note="aimed at and published at 256 px",
    ),
    Subject(
        key="cameras",
        title="eight simulated cameras",
        data=_manifest("cameras/manifest.csv", 4000),
        detectors=(
            *_three("bondi-short", 3000, 200),
            Trained(recipe="mislnet-short", iterations=2500),
            Trained(recipe="yang-fusion-short", iterations=3000),
        ),
        crops=50,
        classes=8,
        aim=90.0,
        published="outperforms others (Bondi et al. 2017, abstract: 18 models)",
    ),
    Subject(
        key="phones",
        title="nine real phones, to measure only",
        data=_manifest("phones.csv", 1200, ("--fractions", "0.5", "0.1", "0.4")),
        detectors=(Trained(recipe="bondi-short", iterations=600),),
        crops=45,
        classes=9,
        note="one device a model, so scenes alone are kept apart",
    ),
)
