"""Verdicts of a detector on whole photographs, by source: each kind of evidence, and all together.

    python bench/verdicts.py accurate ../shared/data/recapture-whole ../shared/data/recapture-dev

Measures only: nothing is fitted to these photographs. A folder has a manifest.csv (path, label,
source; for staged photographs also part, which `--part` selects, and kind, for a table by medium).
Intervals cover 95 %, over photographs. Predictions are kept in --cache, by the content of the
bundle and of each photograph.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from entry import enter
from kept import kept
from threadpoolctl import threadpool_limits

from trueshot.bundle import bundle_sha256
from trueshot.calibration import cllr
from trueshot.calibration.intervals import area_with_interval
from trueshot.datasets.listing import manifest_rows
from trueshot.images import read_image
from trueshot.inference import Predictor
from trueshot.inference.evidence import KINDS

Floats = npt.NDArray[np.float64]
Said = dict[str, Any]

TOGETHER = [*([kind] for kind in KINDS), ["lattice", "context"], ["texture", "context"]]
BPCERS = (0.01, 0.05, 0.10, 0.15)
DRAWS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--part", default="", help="of a staged manifest; all by default")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/trueshot-verdicts"))
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    for folder in given.folders:
        rows = [
            row
            for row in manifest_rows(folder / "manifest.csv")
            if not given.part or row.get("part", "") in ("", given.part)
        ]
        said = predicted(given.bundle, folder, rows, given.cache, given.workers)
        labels = np.array([row["label"] == "recaptured" for row in rows])
        sources = [row.get("source") or folder.name for row in rows]
        print(f"\n## {folder.name}: {len(rows)} photographs\n")
        print("\n".join(areas(said, labels, sources)), end="\n\n")
        print("\n".join(verdicts(said, labels, sources)), end="\n\n")
        print("\n".join(tradeoffs(said, labels, sources)))
        if any(row.get("kind") for row in rows):
            print("\n" + "\n".join(kinds(said, rows)))


def predicted(
    bundle: str, folder: Path, rows: Sequence[Mapping[str, str]], cache: Path, workers: int
) -> list[Said]:
    paths = [folder / row["path"] for row in rows]
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(bundle,)) as pool:
        key = bundle_sha256(bundle)
        return kept(
            cache / "verdicts.jsonl", key, paths, lambda left: pool.map(_predict, left, chunksize=4)
        )


_PREDICTOR: list[Predictor] = []


def _begin(bundle: str) -> None:
    threadpool_limits(1)
    _PREDICTOR.append(Predictor.load(bundle))


def _predict(path: Path) -> Said:
    made = _PREDICTOR[0].predict(read_image(path))
    evidence = made.evidence
    return {
        "verdict": made.verdict,
        "score": math.nan if made.score is None else made.score,
        "log10_lr": math.nan if made.log10_lr is None else made.log10_lr,
        "reasons": list(made.reasons),
        "values": dict(evidence.values) if evidence else {},
        "contributions": dict(evidence.contributions) if evidence else {},
        "looks_like": evidence.looks_like if evidence else "",
        "share": evidence.region.share if evidence and evidence.region else 0.0,
    }


def areas(said: Sequence[Said], labels: Floats, sources: Sequence[str]) -> Iterator[str]:
    """Yield the AUC of each kind of evidence, of some combinations, and of the score."""
    names = sorted(set(sources))
    yield f"| AUC | {' | '.join(names)} | mean | worst |"
    yield "|---" * (len(names) + 3) + "|"
    columns = {"the score": np.array([each["score"] for each in said])}
    if any(each["contributions"] for each in said):
        for together in TOGETHER:
            values = [sum(e["contributions"].get(k, 0.0) for k in together) for e in said]
            columns[" + ".join(together)] = np.array(values)
    for name, values in columns.items():
        cells, found = [], []
        for source in names:
            mine = np.array([s == source for s in sources]) & ~np.isnan(values)
            if len(set(labels[mine].tolist())) < 2:
                cells.append("–")
                continue
            own = area_with_interval(values[mine], labels[mine], range(mine.sum()), DRAWS)
            found.append(own.value)
            cells.append(f"{own.value:.3f} ({own.low:.2f} to {own.high:.2f})")
        cells += [f"{np.mean(found):.3f}", f"{min(found):.3f}"] if found else ["–", "–"]
        yield f"| {name} | {' | '.join(cells)} |"


def verdicts(said: Sequence[Said], labels: Floats, sources: Sequence[str]) -> Iterator[str]:
    """Yield how many of 100 photographs of each class got each verdict."""
    yield (
        "| of 100 | recaptures: found | missed | undecided | originals: right | called recaptured "
        "| undecided | Cllr |"
    )
    yield "|---" * 8 + "|"
    for source in [*sorted(set(sources)), "all"]:
        mine = [n for n, s in enumerate(sources) if source in (s, "all")]
        cells = []
        for label, order in (
            (1, ("recaptured", "original", "undecided")),
            (0, ("original", "recaptured", "undecided")),
        ):
            words = [said[n]["verdict"] for n in mine if labels[n] == label]
            cells += [f"{100 * words.count(word) / max(len(words), 1):.0f}" for word in order]
        rated = [n for n in mine if not math.isnan(said[n]["log10_lr"])]
        cost = math.nan
        if len({bool(labels[n]) for n in rated}) > 1:
            cost = cllr([said[n]["log10_lr"] for n in rated], [int(labels[n]) for n in rated])
        yield f"| {source} | {' | '.join(cells)} | {cost:.2f} |"


def tradeoffs(said: Sequence[Said], labels: Floats, sources: Sequence[str]) -> Iterator[str]:
    """Yield APCER at given BPCERs, non-response rates, and rates with undecided as errors."""
    names = [f"APCER at BPCER {100 * rate:.0f} %" for rate in BPCERS]
    yield (
        f"| % | {' | '.join(names)} | APNRR | BPNRR | APCER, undecided accepted "
        "| BPCER, undecided rejected |"
    )
    yield "|---" * (len(names) + 5) + "|"
    scores = np.array([each["score"] for each in said])
    words = np.array([each["verdict"] for each in said])
    for source in [*sorted(set(sources)), "all"]:
        mine = np.array([source in (s, "all") for s in sources])
        scored = mine & ~np.isnan(scores)  # without a score there is a verdict: undecided
        ours, theirs = scores[scored & ~labels], scores[scored & labels]
        cells = [
            percent(theirs <= np.quantile(ours, 1 - rate, method="higher")) if len(ours) else "–"
            for rate in BPCERS
        ]
        both = [words[mine & chosen] for chosen in (labels, ~labels)]
        cells += [percent(given == "undecided") for given in both]
        cells += [percent(both[0] != "recaptured"), percent(both[1] != "original")]
        yield f"| {source} | {' | '.join(cells)} |"


def percent(hits: npt.NDArray[np.bool_]) -> str:
    return f"{100 * hits.mean():.0f}" if len(hits) else "–"


def kinds(said: Sequence[Said], rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield verdicts on staged recaptures by medium, and how often the medium was recognised."""
    yield "| medium | how many | found | missed | undecided | named as what it is |"
    yield "|---" * 6 + "|"
    for kind in sorted({row["kind"] for row in rows} - {""}):
        mine = [each for each, row in zip(said, rows, strict=True) if row["kind"] == kind]
        words = [each["verdict"] for each in mine]
        shares = [words.count(word) / len(mine) for word in ("recaptured", "original", "undecided")]
        shares.append(sum(each["looks_like"] == kind for each in mine) / len(mine))
        yield f"| {kind} | {len(mine)} | {' | '.join(f'{100 * s:.0f} %' for s in shares)} |"


if __name__ == "__main__":
    enter(main)
