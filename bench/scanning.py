"""Compare scanning with decoding alone: same photographs, decoder and cores, in turn.

    python bench/scanning.py [PHOTOS] [--bundle FILE] [--files 48] [--rounds 5] [--workers N]

Without a folder of photographs, 12-megapixel JPEGs with the texture and noise of photographs are
generated. Both sides read each file and decode it with simplejpeg, strictly, to RGB; a scan also
hashes the file, checks its header, judges it and records the verdict in a ledger. Start-up is left
out on both sides, because it does not depend on the number of photographs; use `time trueshot scan
photo.jpg` to measure it. On a busy machine, rely on the ratio by processor time.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import multiprocessing.pool
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import simplejpeg
from entry import enter
from PIL import Image

from trueshot.detectors import shipped
from trueshot.engines.engine import Engine
from trueshot.engines.pool import cores
from trueshot.images import find_images, write_jpeg
from trueshot.memory import keep_freed_memory
from trueshot.scanning.runner import Settings, scan
from trueshot.scanning.verdict import Verdict

HEIGHT, WIDTH = 3000, 4000
MADE = 8  # different photographs; further files are copies of them
QUALITY = 92


def main() -> None:
    """Measure and print."""
    options = parsed()
    with tempfile.TemporaryDirectory() as folder:
        files = photographs(options.photos, Path(folder), options.files)
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        workers = options.workers or cores()
        print(f"{len(files)} files, {megabytes / len(files):.1f} MB each, {workers} processes")
        settings = Settings(workers=workers)
        with (
            # Like the workers of a scan, these keep freed memory.
            multiprocessing.get_context("fork").Pool(workers, keep_freed_memory) as decoders,
            settings.open(options.bundle or shipped("accurate")) as judges,
        ):
            measure(files, decoders, judges, settings, options, Path(folder))


def parsed() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--files", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int)
    return parser.parse_args()


def measure(
    files: list[Path],
    decoders: multiprocessing.pool.Pool,
    judges: Engine,
    settings: Settings,
    options: argparse.Namespace,
    folder: Path,
) -> None:
    """Alternate the two, so that other load on the machine affects both, and print medians."""
    rates: dict[str, list[float]] = {"decoding alone": [], "scan": []}
    costs: dict[str, list[float]] = {"decoding alone": [], "scan": []}
    for number in range(-1, options.rounds):  # the first round is a warm-up
        out = folder / f"{number}.jsonl"
        work: dict[str, Callable[[], list[object]]] = {
            "decoding alone": lambda: list(decoders.map(decode, files, chunksize=1)),
            "scan": lambda out=out: checked(scan("", files, out, settings, engine=judges)),
        }
        for name, do in work.items():
            started, spent = time.perf_counter(), processor_seconds()
            assert len(do()) == len(files), "a file was passed over"
            if number >= 0:
                rates[name].append(len(files) / (time.perf_counter() - started))
                costs[name].append((processor_seconds() - spent) / len(files))
    for name, values in rates.items():
        cost = f"{1000 * statistics.median(costs[name]):.1f} ms of a processor each"
        print(f"{name}: {statistics.median(values):.1f} a second, {spread(values)}; {cost}")
    ratios = [b / a for a, b in zip(*rates.values(), strict=True)]
    print(f"scan / decoding alone: {statistics.median(ratios):.2f} (median), {spread(ratios)}")
    ratios = [a / b for a, b in zip(*costs.values(), strict=True)]
    print(f"by processor time: {statistics.median(ratios):.2f} (median), {spread(ratios)}")


def checked(verdicts: Iterable[Verdict]) -> list[object]:
    """Return all verdicts, after checking that none is an error."""
    found = list(verdicts)
    assert not any(each.verdict == "error" for each in found), "a file was not judged"
    return list(found)


def processor_seconds() -> float:
    """Return the processor time of this process and its descendants (Linux)."""
    ticks, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text("ascii", "replace").rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            ticks[int(path.parent.name)] = int(fields[11]) + int(fields[12])
    ours = {os.getpid()}
    while below := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= below
    return sum(ticks[each] for each in ours if each in ticks) / os.sysconf("SC_CLK_TCK")


def spread(values: list[float]) -> str:
    """Format the lowest and the highest value."""
    return f"{min(values):.2f} to {max(values):.2f}"


def decode(path: Path) -> int:
    """Read and decode one file, as `images` does on its fast path."""
    return int(simplejpeg.decode_jpeg(path.read_bytes(), colorspace="RGB", strict=True).size)


def photographs(given: Path | None, folder: Path, count: int) -> list[Path]:
    """Return `count` JPEG files, copied from given or generated photographs."""
    if given is None:
        for number in range(min(MADE, count)):
            write_jpeg(folder / "made" / f"{number}.jpg", made(number), QUALITY)
    found = [path for path in find_images(given or folder / "made") if is_jpeg(path)]
    if not found:
        raise SystemExit(f"{given}: no JPEG file in it")
    copies = folder / "copies"
    copies.mkdir()
    files = [copies / f"{number:05}.jpg" for number in range(count)]
    for number, path in enumerate(files):
        path.write_bytes(found[number % len(found)].read_bytes())
    return files


def is_jpeg(path: Path) -> bool:
    """Whether the file is a JPEG, which the fast decoder can read."""
    return path.read_bytes()[:3] == b"\xff\xd8\xff"


def made(seed: int) -> np.ndarray:
    """Generate soft shapes, some edges, fine texture and noise, shape (3000, 4000, 3)."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells, strength in ((6, 1.0), (40, 0.5), (250, 0.25), (1000, 0.12)):
        coarse = random.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
        layer = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        pixels += strength * (np.asarray(layer, np.float32) - 127.5)
    pixels += 127.5 + random.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    enter(main)
