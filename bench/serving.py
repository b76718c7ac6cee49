"""Load test of the service on loopback: requests per second, response times, and memory growth.

    python bench/serving.py --requests 200 --concurrency 16
    python bench/serving.py --requests 20 --path "/v1/attacks?method=pgd&budget=2"
    python bench/serving.py --photo photo.jpg --concurrency 64

Prints a table with one row per round. All rounds are alike, so memory should not grow after the
first. A 503 response (the queue is full) is counted as an answer; any other failure makes the exit
status 1. Needs httpx, as the tests do.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from entry import enter
from PIL import Image

SERVE = """
import sys
from trueshot.detectors import shipped
from trueshot.web.settings import ServiceSettings
from trueshot.web.server import serve
plain, robust = (sys.argv[3:5] if len(sys.argv) > 4 else map(shipped, ("accurate", "robust")))
from pathlib import Path
serve(Path(plain), Path(robust), ServiceSettings(port=int(sys.argv[1]), queue=int(sys.argv[2])))
"""
KIND = {"content-type": "application/octet-stream"}


def main() -> int:
    arguments = parsed()
    data = arguments.photo.read_bytes() if arguments.photo else photograph(arguments.side)
    bundles = [str(path) for path in arguments.bundles]
    print(f"{len(data):,} bytes each, {arguments.concurrency} at once, to {arguments.path}")
    print("round  answers            req/s   p50 s   p95 s   max s   server  workers  MB")
    good = True
    with serving(arguments.port, arguments.queue, bundles) as (process, client):
        for number in range(1, arguments.rounds + 1):
            began = time.perf_counter()
            with ThreadPoolExecutor(arguments.concurrency) as threads:
                asked = [
                    threads.submit(ask, client, arguments.path, data)
                    for _ in range(arguments.requests)
                ]
                answers = [each.result() for each in asked]
            seconds = time.perf_counter() - began
            counts = Counter(status for status, _ in answers)
            took = np.array([took for status, took in answers if status == 200] or [np.nan])
            middle, late, last = np.quantile(took, [0.5, 0.95, 1])
            server, workers = memory(process.pid)
            words = ", ".join(f"{count}×{status}" for status, count in sorted(counts.items()))
            print(
                f"{number:5}  {words:17}  {counts[200] / seconds:6.1f}  {middle:6.2f}  {late:6.2f}"
                f"  {last:6.2f}  {server / 1e6:7.0f}  {workers / 1e6:7.0f}",
                flush=True,
            )
            good = good and counts.keys() <= {200, 503}
    return 0 if good else 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=200, help="of each round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--queue", type=int, default=16)
    parser.add_argument("--side", type=int, default=1024, help="of a photograph that is made")
    parser.add_argument("--photo", type=Path, help="is sent instead")
    parser.add_argument("--path", default="/v1/verdicts")
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--bundles", type=Path, nargs=2, default=(), metavar="BUNDLE")
    return parser.parse_args()


def photograph(side: int) -> bytes:
    """Return a JPEG of blurred noise, which is no easier to decode than a photograph."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


@contextmanager
def serving(
    port: int, queue: int, bundles: list[str]
) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """Run the service in its own process; yield once it responds."""
    command = [sys.executable, "-c", SERVE, str(port), str(queue), *bundles]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=address, timeout=300, trust_env=False) as client:
            for _ in range(1200):
                try:
                    client.get("/v1/health").raise_for_status()
                    break
                except httpx.HTTPError:
                    if process.poll() is not None:
                        raise SystemExit("the service did not start") from None
                    time.sleep(0.1)
            yield process, client
    finally:
        process.terminate()
        process.wait(30)


def ask(client: httpx.Client, path: str, data: bytes) -> tuple[int, float]:
    began = time.perf_counter()
    answer = client.post(path, content=data, headers=KIND)
    return answer.status_code, time.perf_counter() - began


def memory(process: int) -> tuple[int, int]:
    """Return the resident bytes of the server, and of its descendants in total (Linux)."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        number = int(path.parent.name)
        parents[number], resident[number] = int(fields[1]), 4096 * int(fields[21])
    below: set[int] = set()
    newer = {process}
    while newer:
        newer = {number for number, parent in parents.items() if parent in newer} - below
        below |= newer
    return resident.get(process, 0), sum(resident[number] for number in below)


if __name__ == "__main__":
    enter(main)
