"""One process of `processes.py`: python -m speed.worker SIDE SECONDS REPORT."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch

from trueshot.memory import keep_freed_memory
from trueshot.training import differentiate, load_recipe
from trueshot.training.distributed import Processes, processes
from trueshot.training.steps import draw_budgets, new_detector

WARM_UP, BATCH = 3, 64


def main() -> None:
    side, seconds, report = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    keep_freed_memory()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with processes(torch.device("cpu")) as (together, _):
        rate = measure(together, side, seconds)
        if together.is_first:
            report.write_text(json.dumps(rate), "utf-8")


def measure(together: Processes, side: int, seconds: float) -> float:
    """Images a second, all processes together."""
    recipe = load_recipe("secure")
    budgets = draw_budgets(recipe, 0)
    assert budgets is not None
    share = together.share(len(budgets), BATCH - len(budgets))
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (BATCH, side, side, 3), generator=random)
    images = pixels.permute(0, 3, 1, 2).float()[share]
    labels, budgets = (torch.arange(BATCH) % 2)[share], budgets[share[share < len(budgets)]]
    detector = new_detector(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    detector.train()
    together.share_statistics(detector)
    learned = list(detector.parameters())
    optimizer = torch.optim.Adam(learned, lr=1e-6, fused=True)
    done, started = 0, 0.0
    while done < WARM_UP or _goes_on(together, started, seconds):
        optimizer.zero_grad(set_to_none=True)
        parts = differentiate(recipe.objective, detector, images, labels, budgets, BATCH)
        together.add_up(learned, parts)
        optimizer.step()
        done += 1
        if done == WARM_UP:
            started = time.perf_counter()
    return (done - WARM_UP) * BATCH / (time.perf_counter() - started)


def _goes_on(together: Processes, started: float, seconds: float) -> bool:
    """What the first process decides, so that all stop at one step."""
    more = together.is_first and time.perf_counter() - started < seconds
    return bool(together.total(torch.tensor(float(more))))


if __name__ == "__main__":
    main()
