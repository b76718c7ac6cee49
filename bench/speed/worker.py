"""One process of `processes.py`: python -m speed.worker SIDE BATCH SECONDS REPORT."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch

from speed import examples
from speed.rows import DIFFERENCE, minibatch, objectives
from trueshot.memory import keep_freed_memory
from trueshot.training import differentiate
from trueshot.training.distributed import Processes, processes

WARM_UP = 3


def main() -> None:
    side, batch, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    keep_freed_memory()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with processes(torch.device("cpu")) as (together, _):
        rate = measure(together, side, batch, seconds)
        if together.is_first:
            Path(sys.argv[4]).write_text(json.dumps(rate), "utf-8")


def measure(together: Processes, side: int, batch: int, seconds: float) -> float:
    """Return images per second of all processes together."""
    whole, objective = minibatch(side, batch), objectives(batch)[DIFFERENCE]
    attacked = len(whole.budgets)
    share = together.share(attacked, batch - attacked)
    images, labels = whole.images[share], whole.labels[share]
    budgets = whole.budgets[share[share < attacked]]
    detector = examples.new_detector()
    detector.train()
    together.share_statistics(detector)
    learned = list(detector.parameters())
    optimizer = torch.optim.Adam(learned, lr=1e-6, fused=True)
    done, started = 0, 0.0
    while done < WARM_UP or _goes_on(together, started, seconds):
        optimizer.zero_grad(set_to_none=True)
        parts = differentiate(objective, detector, images, labels, budgets, batch)
        together.add_up(learned, parts)
        optimizer.step()
        done += 1
        if done == WARM_UP:
            started = time.perf_counter()
    return (done - WARM_UP) * batch / (time.perf_counter() - started)


def _goes_on(together: Processes, started: float, seconds: float) -> bool:
    """Return the first process's decision to continue, so that all stop at the same step."""
    more = together.is_first and time.perf_counter() - started < seconds
    return bool(together.total(torch.tensor(float(more))))


if __name__ == "__main__":
    main()
