"""Likelihood ratios: closed forms, properties, and the numbers of another library."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trueshot.calibration import (
    Calibration,
    cllr,
    cllr_min,
    elub,
    fit,
    fit_isotonic,
    fit_logistic,
)
from trueshot.calibration.elub_bounds import independence
from trueshot.calibration.fitting import pooled
from trueshot.calibration.likelihood import MOST_KNOTS
from trueshot.errors import CalibrationError

# Score sets and what NFI's lir 1.3.1 makes of them, in an environment of its own: read as log10
# likelihood ratios, `lir.algorithms.bayeserror.elub(s, y, step_size=1e-4)`, `lir.metrics.cllr`,
# `cllr_min`; then the bounds of its `IsotonicCalibrator` and of its `LogitCalibrator(C=1e6)`, and
# slope and intercept of the latter. Its bounds stand on a grid, up to a step from the exact ones.
SETS: dict[str, tuple[list[float], list[int]]] = {
    "overlapping": (
        [-3.0, -2.2, -1.5, -1.1, -0.6, -0.2, 0.3, 0.9, -0.9, -0.1, 0.2, 0.7, 1.2, 1.9, 2.6, 3.3],
        [0] * 8 + [1] * 8,
    ),
    "separated": (
        [-4.0, -3.0, -2.5, -2.0, -1.5, 1.0, 1.5, 2.0, 3.0, 5.0],
        [0] * 5 + [1] * 5,
    ),
    "unequal": (
        [-2.0, -1.8, -1.2, -1.0, -0.8, -0.5, -0.4, -0.1, 0, 0.1, 0.4, 0.8, 0.05, 0.6, 1.3, 2.2],
        [0] * 12 + [1] * 4,
    ),
}
LIR: dict[str, dict[str, Any]] = {
    "overlapping": {
        "elub": (-0.3979, 0.2218),
        "cllr": 0.7095936219728578,
        "cllr_min": 0.47560252965230077,
        "pav_elub": (-0.6020, 0.6020),
        "line": (1.31131141, -0.07865242),
        "line_elub": (-0.3758, 0.3644),
    },
    "separated": {
        "elub": (-0.6989, 0.6989),
        "cllr": 0.02636428132546075,
        "cllr_min": 0.0,
        "pav_elub": (-0.6989, 0.6989),
        "line": None,  # endless: only its bounds say anything
        "line_elub": (-0.6989, 0.6989),
    },
    "unequal": {
        "elub": (-0.4000, 0.5910),
        "cllr": 0.5426191338748315,
        "cllr_min": 0.3374943945879115,
        "pav_elub": (-0.5392, 0.7160),
        "line": (2.93388791, -0.68812159),
        "line_elub": (-0.4301, 0.4656),
    },
}
# `IsotonicCalibrator().fit_transform` of lir for the set "overlapping": log10 ratios, in order.
LIR_PAV = [-np.inf] * 4 + [-0.30103] * 2 + [0.176091] * 2
LIR_PAV += [-0.30103] + [0.176091] * 3 + [np.inf] * 4

FACTS: dict[str, Any] = {"lower": -1, "upper": 2, "originals": 9, "recaptured": 8, "sources": 7}
LINE = Calibration(method="logistic", slope=2, intercept=-1, **FACTS)
CURVE = Calibration(method="isotonic", knots=(0, 1, 3), values=(-2, 0, 1), **FACTS)

scored = st.lists(st.tuples(st.floats(-50, 50), st.integers(0, 1)), min_size=2, max_size=60).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)


def arrays(pairs: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = zip(*pairs, strict=True)
    return np.array(scores), np.array(labels)


def two_normals(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two normal classes at -1 and 1: the natural log ratio of a score is twice it."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3 == 0  # two originals for each recapture
    return random.normal(np.where(labels, 1.0, -1.0)), labels.astype(int)


@pytest.mark.parametrize("name", SETS)
def test_bounds_and_costs_are_those_of_lir(name: str) -> None:
    ratios, labels = SETS[name]
    assert elub(ratios, labels) == pytest.approx(LIR[name]["elub"], abs=2e-4)
    assert cllr(ratios, labels) == pytest.approx(LIR[name]["cllr"], rel=1e-12)
    assert cllr_min(ratios, labels) == pytest.approx(LIR[name]["cllr_min"], abs=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_fitted_bounds_are_those_of_lirs_own_calibrations(name: str) -> None:
    curve, line = fit_isotonic(*SETS[name]), fit_logistic(*SETS[name])
    assert (curve.lower, curve.upper) == pytest.approx(LIR[name]["pav_elub"], abs=2e-4)
    assert (line.lower, line.upper) == pytest.approx(LIR[name]["line_elub"], abs=3e-3)
    if LIR[name]["line"]:  # lir has next to no penalty, ours takes less than a hundredth off
        assert (line.slope, line.intercept) == pytest.approx(LIR[name]["line"], rel=1e-2)


def test_pooling_gives_the_ratios_of_lir() -> None:
    scores, labels = SETS["overlapping"]
    assert pooled(np.array(scores), np.array(labels)) == pytest.approx(LIR_PAV, abs=1e-6)


def test_ratios_of_one_cost_one_bit_and_perfect_ones_nothing() -> None:
    labels = [0, 0, 0, 1]
    assert cllr([0.0] * 4, labels) == 1.0
    assert cllr([-np.inf] * 3 + [np.inf], labels) == 0.0
    assert cllr([np.inf] * 3 + [-np.inf], labels) == np.inf
    assert cllr(np.log10([1 / 3, 1 / 3, 1 / 3, 3]), labels) == pytest.approx(np.log2(4 / 3))


def test_scores_in_the_wrong_order_leave_no_better_cost_than_one() -> None:
    assert cllr_min([3, 2, 1, 0], [0, 0, 1, 1]) == pytest.approx(1.0)


@given(scored)
@settings(max_examples=60, deadline=None)
def test_no_ratio_that_rises_with_the_score_costs_less_than_cllr_min(
    pairs: list[tuple[float, int]],
) -> None:
    scores, labels = arrays(pairs)
    for slope in (0.0, 0.1, 1.0):
        assert cllr(slope * scores, labels) >= cllr_min(scores, labels) - 1e-9


def test_perfectly_apart_the_bound_is_the_size_of_the_other_class_plus_one() -> None:
    """A threshold t is too much from t / (n + 1), the one misleading original, = m / (m + 1) on."""
    for originals, recaptured in ((1, 1), (99, 49), (10, 500)):
        ratios = [-np.inf] * originals + [np.inf] * recaptured
        lower, upper = elub(ratios, [0] * originals + [1] * recaptured)
        assert upper == pytest.approx(np.log10((originals + 1) * recaptured / (recaptured + 1)))
        assert lower == pytest.approx(-np.log10((recaptured + 1) * originals / (originals + 1)))


def test_ratios_are_bounded_by_the_greatest_that_was_seen() -> None:
    ratios, labels = [-0.1] * 500 + [0.1] * 500, [0] * 500 + [1] * 500
    assert elub(ratios, labels) == pytest.approx((-0.1, 0.1))


def test_useless_ratios_are_bounded_to_one() -> None:
    assert elub([2.0, -2.0] * 50, [0, 0, 1, 1] * 25) == (0.0, 0.0)


def of_sources(spread: float, sources: int = 40, each: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Ratios of two classes far apart, and sources that differ by so many deviations in each."""
    random = np.random.default_rng(8)
    source = np.tile(np.repeat(np.arange(sources), each), 2)
    ratios = random.normal(size=len(source)) + spread * random.normal(size=sources)[source]
    return ratios + np.repeat([-90.0, 90.0], sources * each), source


@pytest.mark.parametrize(("spread", "correlation"), [(0.0, 0.0), (1.0, 0.5), (99.0, 1.0)])
def test_photographs_count_as_many_as_are_independent(spread: float, correlation: float) -> None:
    ratios, source = of_sources(spread)
    labels = np.repeat([0, 1], 1000)
    weights = independence(ratios, labels, source.tolist())
    assert 1 / weights == pytest.approx(1 + 24 * correlation, rel=0.25, abs=1.2)
    apart = np.where(labels == 1, 9.0, -9.0)
    count = weights[:1000].sum()
    _, upper = elub(apart, labels, weights)
    assert upper == pytest.approx(np.log10((count + 1) * count / (count + 1)), abs=0.05)


@pytest.mark.parametrize("sources", [2, 3, 4])
def test_few_sources_that_differ_little_by_luck_count_for_little(sources: int) -> None:
    """A tenth of the variance lies between sources: 40 photographs are as good as 1/4.9 of them."""
    random = np.random.default_rng(1)
    labels, source = np.repeat([0, 1], 40 * sources), np.tile(np.repeat(range(sources), 40), 2)
    counted = []
    for _ in range(150):
        scores = random.normal(size=(2, sources)).repeat(40) / 3 + random.normal(size=len(labels))
        weights = independence(scores, labels, source.tolist())
        counted += [weights[0], weights[-1]]
    assert np.mean(np.array(counted) <= 1 / (1 + 39 * 0.1) + 0.01) >= 0.93
    alone = independence(scores, labels, list(range(len(labels))))
    assert (alone == 1).all()


def test_a_thousand_photographs_of_four_sources_that_differ_support_a_ratio_of_four() -> None:
    labels, source = np.repeat([0, 1], 500), np.arange(1000) % 4
    scores = labels * 100.0 + source
    for method in ("logistic", "isotonic"):
        assert fit(method, scores, labels, source.tolist()).upper == pytest.approx(
            np.log10(4), abs=0.01
        )
        assert fit(method, scores, labels, [0] * 1000).upper == pytest.approx(0, abs=0.01)
        assert fit(method, scores, labels).upper == pytest.approx(np.log10(500), abs=0.01)


@given(scored)
@settings(max_examples=60, deadline=None)
def test_bounds_hold_one_between_them_and_mirror_when_classes_change_places(
    pairs: list[tuple[float, int]],
) -> None:
    ratios, labels = arrays(pairs)
    lower, upper = elub(ratios, labels)
    assert lower <= 0 <= upper <= max(0.0, np.log10((labels == 0).sum() + 1))
    assert elub(-ratios, 1 - labels) == (-upper, -lower)


@given(scored, st.sampled_from(["logistic", "isotonic"]))
@settings(max_examples=60, deadline=None)
def test_a_fitted_ratio_never_falls_with_the_score_and_keeps_its_bounds(
    pairs: list[tuple[float, int]], method: str
) -> None:
    scores, labels = arrays(pairs)
    calibration = fit(method, scores, labels)
    ratios = calibration.log10_lr(np.sort(np.append(np.linspace(-60, 60, 241), scores)))
    assert (np.diff(ratios) >= -1e-12).all()  # interpolation rounds
    assert ((calibration.lower <= ratios) & (ratios <= calibration.upper)).all()
    assert Calibration.model_validate(json.loads(calibration.model_dump_json())) == calibration


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_the_ratio_of_two_normal_classes_is_found_whatever_their_shares(method: str) -> None:
    scores, labels = two_normals(30_000)
    asked = np.linspace(-1.5, 1.5, 7)
    found = fit(method, scores, labels).log10_lr(asked)
    assert found == pytest.approx(2 * asked / np.log(10), abs=0.15)


def test_the_line_is_that_of_scikit_learn_without_a_penalty() -> None:
    from sklearn.linear_model import LogisticRegression

    scores, labels = two_normals(600)
    oracle = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-10)
    oracle.fit(scores[:, None], labels)
    line = fit_logistic(scores, labels)
    assert line.slope == pytest.approx(oracle.coef_[0, 0], rel=2e-3)
    assert line.intercept == pytest.approx(oracle.intercept_[0], abs=2e-3)


def test_the_line_is_no_other_for_scores_in_other_units() -> None:
    scores, labels = two_normals(600)
    here, there = fit_logistic(scores, labels), fit_logistic(1000 * scores + 5, labels)
    assert there.log10_lr(1000 * scores + 5) == pytest.approx(here.log10_lr(scores), abs=1e-6)


def test_scores_that_fall_with_the_class_are_no_evidence() -> None:
    for scores in ([3.0, 2.0, 1.0, 0.5], [1.0] * 4):
        for method in ("logistic", "isotonic"):
            assert (fit(method, scores, [0, 0, 1, 1]).log10_lr([-9.0, 0.0, 9.0]) == 0).all()


def test_a_curve_of_very_many_steps_is_thinned_to_what_a_card_holds() -> None:
    random = np.random.default_rng(0)
    scores = np.sort(random.random(40_000) * 4 - 2)
    chance = 1 / (1 + np.exp(-scores))
    labels = (np.floor(np.cumsum(chance)) > np.floor(np.cumsum(chance) - chance)).astype(int)
    curve = fit_isotonic(scores, labels)
    assert 20 < len(curve.knots) <= MOST_KNOTS
    assert curve.log10_lr([-1.0, 1.0]) == pytest.approx(
        np.array([-1, 1]) / np.log(10) + np.log10((1 - chance).sum() / chance.sum()), abs=0.1
    )


def test_equal_scores_are_calibrated_alike_in_any_order() -> None:
    scores, labels = [0.0, 1.0, 1.0, 1.0, 2.0], [0, 0, 1, 0, 1]
    again = fit_isotonic(scores[::-1], labels[::-1])
    assert fit_isotonic(scores, labels) == again
    assert pooled(np.array(scores), np.array(labels)) == pytest.approx(
        [-np.inf, *[np.log10((1 / 2) / (2 / 3))] * 3, np.inf]
    )


def test_a_line_and_a_curve_say_the_ratios_of_their_definition() -> None:
    assert LINE.log10_lr([0.0, 0.5, 1.0, 9.0]) == pytest.approx(
        [-np.log10(np.e), 0, np.log10(np.e), 2]
    )
    assert CURVE.log10_lr([-5.0, 0.5, 1.0, 2.0, 9.0]).tolist() == [-1, -1, 0, 0.5, 1]
    assert CURVE.unbounded([-5.0]).tolist() == [-2]
    assert LINE.log10_lr(np.zeros((2, 3))).shape == (2, 3)


def test_infinite_scores_meet_the_bounds_and_what_is_no_number_is_refused() -> None:
    assert LINE.log10_lr([-np.inf, np.inf]).tolist() == [-1, 2]
    level = LINE.model_copy(update={"slope": 0.0})
    assert level.log10_lr([-np.inf, np.inf]) == pytest.approx([-np.log10(np.e)] * 2)
    steep = LINE.model_copy(update={"slope": 1e300})
    assert steep.log10_lr([-np.inf, np.inf]).tolist() == [-1, 2]
    with pytest.raises(ValueError, match="not a number"):
        LINE.log10_lr([0.0, np.nan])


@pytest.mark.parametrize(
    "change",
    [
        {"slope": -1.0},
        {"slope": None},
        {"slope": "2"},
        {"slope": float("nan")},
        {"intercept": float("inf")},
        {"lower": 0.1},
        {"upper": -0.1},
        {"upper": float("inf")},
        {"upper": 101.0},
        {"lower": -101.0},
        {"originals": -1},
        {"sources": 2.5},
        {"covariance": (1.0, 1.1, 1.0)},
        {"covariance": (1.0, 1e200, 1.0)},
        {"covariance": (1e200, -1e300, 1e200)},
        {"knots": [0.0], "values": [0.0]},
        {"method": "isotonic"},
        {"method": "neural"},
        {"more": 1},
    ],
)
def test_a_damaged_line_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate({**LINE.model_dump(), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"knots": (0, 1)},
        {"knots": (0, 1, 1)},
        {"knots": (1, 0, 3)},
        {"values": (0, -1, 1)},
        {"values": (0, float("nan"), 1)},
        {"knots": (), "values": ()},
        {"slope": 1.0, "intercept": 0.0},
        {"knots": tuple(range(2000)), "values": tuple(range(2000))},
    ],
)
def test_a_damaged_curve_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate({**CURVE.model_dump(), **change})


@pytest.mark.parametrize(
    ("scores", "labels", "reason"),
    [
        ([1.0, 2.0], [0, 0], "no recaptured"),
        ([1.0, 2.0], [1, 1], "no original"),
        ([], [], "no original"),
        ([1.0, np.nan], [0, 1], "not a finite number"),
        ([1.0, np.inf], [0, 1], "not a finite number"),
        ([1.0, 2.0, 3.0], [0, 1], "one score and one label per photograph"),
        ([1.0, 2.0, 3.0], [0, 1, 2], r"labels must be 0 \(original\)"),
    ],
)
def test_scores_that_make_no_calibration_are_refused(
    scores: list[float], labels: list[int], reason: str
) -> None:
    for method in (fit_logistic, fit_isotonic):
        with pytest.raises(CalibrationError, match=reason):
            method(scores, labels)


def test_sources_of_other_photographs_are_refused() -> None:
    with pytest.raises(
        CalibrationError, match="sources must have one entry per photograph, got 1 for 2"
    ):
        fit_logistic([0.0, 1.0], [0, 1], ["one"])
    with pytest.raises(ValueError, match="'cubic'; choose from logistic, isotonic"):
        fit("cubic", [0.0, 1.0], [0, 1])


def test_words_load_none_of_the_libraries_that_only_fitting_needs() -> None:
    program = (
        "import sys, trueshot.calibration.verbal_scale; "
        "print(*{'numpy', 'scipy', 'sklearn', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""
