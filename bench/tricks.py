"""Effect of simple tricks on verdicts, and their cost in image quality.

    python bench/tricks.py MANIFEST --bundle accurate robust certified --most 20 --out FILE.json

Uses photographs of the test part, equally many of each class. Originals are not rephotographed,
because that would make them recaptures. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from entry import enter
from PIL import Image

from trueshot.adversary.targets import targets_of
from trueshot.adversary.tricks import TRICKS, Rephotographed
from trueshot.bundle import bundle_sha256
from trueshot.files import Journal
from trueshot.images import read_image
from trueshot.inference import Predictor
from trueshot.pixels import Bytes, ssim, to_levels

SIMILAR = 8  # number of photographs of each class whose SSIM is reported


def judged(
    manifest: Path, bundles: list[str], most: int, journal: Path
) -> Iterator[dict[str, object]]:
    """Yield a record for each photograph and trick, with the verdicts of all detectors."""
    kept = Journal(journal, {bundle: bundle_sha256(bundle) for bundle in bundles})
    known = {(each["photo"], each["trick"]) for each in kept.records}
    predictors = {bundle: Predictor.load(bundle) for bundle in bundles}
    for number, target in enumerate(targets_of(manifest, most=most)):
        pixels = np.asarray(read_image(target.path).pixels)
        for trick in (None, *TRICKS):
            name = "none" if trick is None else trick.name
            is_other = isinstance(trick, Rephotographed) and target.label == 0  # then a recapture
            if is_other or (target.name, name) in known:
                continue
            changed = pixels if trick is None else trick.changed(pixels)
            told = trick is not None and number % most < SIMILAR
            said = {bundle: each.predict(changed) for bundle, each in predictors.items()}
            kept.append(
                {
                    "photo": target.name,
                    "label": target.label,
                    "trick": name,
                    "ssim": similarity(pixels, changed) if told else None,
                    "verdicts": {bundle: each.verdict for bundle, each in said.items()},
                    "scores": {bundle: each.score for bundle, each in said.items()},
                }
            )
    yield from kept.records


def similarity(before: Bytes, after: Bytes) -> float:
    """Return the SSIM between a photograph and its changed version, resized back if needed."""
    if after.shape != before.shape:
        size = before.shape[1], before.shape[0]
        after = np.array(Image.fromarray(after).resize(size, Image.Resampling.BICUBIC))
    first, other = (to_levels(np.array(each)[None]) for each in (before, after))
    return float(ssim(first, other)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--bundle", nargs="+", default=["accurate", "robust", "certified"])
    parser.add_argument("--most", type=int, default=20, help="Of each class.")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    records = list(
        judged(given.manifest, given.bundle, given.most, given.out.with_suffix(".jsonl"))
    )
    given.out.write_text(json.dumps(records, indent=1) + "\n", "utf-8")
    print("| trick | SSIM | detector | recaptures: right / undecided / missed | originals |")
    print("|---|---|---|---|---|")
    for trick in dict.fromkeys(each["trick"] for each in records):
        those = [each for each in records if each["trick"] == trick]
        known = [each["ssim"] for each in those if each["ssim"] is not None]
        cost = f"{np.mean(known):.3f}" if known else ""
        for bundle in given.bundle:
            counts = []
            for label, words in (
                (1, ("recaptured", "undecided", "original")),
                (0, ("original", "undecided", "recaptured")),
            ):
                said = [each["verdicts"][bundle] for each in those if each["label"] == label]
                counts.append(" / ".join(str(said.count(word)) for word in words))
            print(f"| {trick} | {cost} | `{bundle}` | {counts[0]} | {counts[1]} |")


if __name__ == "__main__":
    enter(main)
