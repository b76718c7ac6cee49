"""Coverage of 95 % intervals for an error rate, when each source has its own failure rate.

    python bench/interval_coverage.py [TRIALS]

Each source has 1 to 39 photographs and a failure rate drawn from a beta distribution with mean 0.1
and standard deviation 0.16.
"""

from __future__ import annotations

import sys

import numpy as np

from trueshot.calibration import clopper_pearson, rate_with_interval

MEAN, CORRELATION = 0.1, 0.3


def main(trials: int) -> None:
    """Print the coverage for several numbers of sources."""
    random = np.random.default_rng(0)
    spread = 1 / CORRELATION - 1
    print("sources  trueshot  plain cluster bootstrap  as if independent")
    for sources in (3, 5, 10, 20, 50, 100):
        held = np.zeros(3)
        for _ in range(trials):
            sizes = random.integers(1, 40, sources)
            rates = random.beta(MEAN * spread, (1 - MEAN) * spread, sources)
            wrong = random.binomial(sizes, rates)
            names = np.repeat(np.arange(sources), sizes)
            first = np.concatenate([np.arange(size) for size in sizes])
            ours = rate_with_interval(first < wrong[names], names.tolist())
            times = random.multinomial(sources, np.full(sources, 1 / sources), size=500)
            plain = np.quantile((times @ wrong) / (times @ sizes), [0.025, 0.975])
            alone = clopper_pearson(int(wrong.sum()), int(sizes.sum()))
            held += [low <= MEAN <= high for low, high in ((ours.low, ours.high), plain, alone)]
        print(f"{sources:7d}", *(f"{share:9.2f}" for share in held / trials))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
