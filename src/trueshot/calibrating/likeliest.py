"""Calibration for tasks decided by the likeliest class: which class it is, or none of them.

Class probabilities are calibrated with one temperature (Guo et al. 2017, arXiv:1706.04599). For
open-set rejection, no class is named if the largest probability is lower than that of nearly all
photographs of known classes, by a conformal quantile (Vovk, Gammerman and Shafer 2005, proposition
4.1).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from trueshot.calibrating.error_rates import Kind, cut
from trueshot.calibrating.scores import Scores
from trueshot.calibration import Domain, fit_domain, needed, rate_with_interval
from trueshot.calibration.samples import Floats, Labels
from trueshot.card import Likeliest, Measurement
from trueshot.errors import CalibrationError
from trueshot.inference.predictor import CLASS_LOGIT, probabilities

_TEMPERATURES = (0.01, 100.0)


def fit_likeliest(known: Scores, rejected: float) -> Likeliest:
    """Fit the temperature and the lowest probability at which a class is named.

    Args:
        known: Photographs of the classes.
        rejected: Target share of photographs of these classes for which no class is named.

    Raises:
        CalibrationError: There are too few photographs for that share.
    """
    logits, labels = _logits(known)
    if len(logits) < needed(rejected):
        raise CalibrationError(
            f"naming no class for a share of {rejected:g} needs at least {needed(rejected)} "
            f"photographs, but there are {len(logits)}; add some, or use "
            f"--bpcer {np.ceil(1e4 / (len(logits) + 1)) / 1e4:g}"
        )

    def cost(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        own = scaled[np.arange(len(labels)), labels]
        return float((np.logaddexp.reduce(scaled, axis=1) - own).mean())

    found = minimize_scalar(cost, bounds=tuple(np.log(_TEMPERATURES)), method="bounded")
    temperature = float(np.exp(found.x))
    largest = np.sort([probabilities(row, temperature).max() for row in logits])
    place = int(rejected * (len(largest) + 1) + 1e-9)
    return Likeliest(temperature=temperature, least=float(largest[place - 1]), rejected=rejected)


def domain_of(known: Scores, side: int) -> Domain:
    """Fit the domain, as for other tasks, without the logits of the classes."""
    scored = known.scored().findings
    plain = [
        {name: value for name, value in each.features.items() if not _is_logit(name)}
        for each in scored
    ]
    return fit_domain(plain, [each.crops for each in scored], side=side)


def measure_likeliest(
    new: Scores,
    fitted: Likeliest,
    domain: Domain,
    *,
    kind: Kind,
    name: str,
    command: str = "",
    note: str = "",
) -> Measurement:
    """Measure how often the right class, and how often none, is named for new photographs."""
    named = [_named(each.features, each.crops, fitted, domain) for each in new.findings]
    wanted = [each.photograph.label for each in new.findings]
    return Measurement(
        kind=kind,
        name=name,
        right=rate_with_interval([a == b for a, b in zip(named, wanted, strict=True)], new.sources),
        of_none=rate_with_interval([found is None for found in named], new.sources),
        photographs=len(named),
        sources=len(set(new.sources)),
        command=cut(command),
        note=cut(note),
    )


def _named(features: dict[str, float], crops: int, fitted: Likeliest, domain: Domain) -> int | None:
    """Return the number of the class that a bundle with this calibration names, or None."""
    row = _row(features)
    if row is None or domain.reasons(features, crops):
        return None
    found = probabilities(row, fitted.temperature)
    return int(found.argmax()) if found.max() >= fitted.least else None


def _logits(known: Scores) -> tuple[Floats, Labels]:
    rows = [(_row(each.features), each.photograph.label) for each in known.findings]
    found = [(row, label) for row, label in rows if row is not None]
    if not found:
        raise CalibrationError("no photograph has a crop with texture")
    return np.stack([row for row, _ in found]), np.array([label for _, label in found])


def _row(features: dict[str, float]) -> Floats | None:
    own = [value for name, value in features.items() if _is_logit(name)]
    return np.array(own, dtype=np.float64) if own else None


def _is_logit(name: str) -> bool:
    return name.startswith(CLASS_LOGIT)
