"""One number of many: what scikit-learn fits, told by feature, unmoved by what was never seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from trueshot.calibrating import linear
from trueshot.calibrating.linear import fit_linear_model
from trueshot.calibration.linear_model import LinearModel
from trueshot.errors import CalibrationError

MODEL = LinearModel(
    features=("peak", "screen"),
    means=(2.0, -1.0),
    deviations=(0.5, 2.0),
    weights=(1.5, 0.25),
    intercept=-0.5,
)


def planted(count: int = 200) -> tuple[list[dict[str, float]], list[int], list[str]]:
    """`peak` tells the classes apart, `noise` does not, `same` never changes."""
    random = np.random.default_rng(0)
    labels = [number % 2 for number in range(count)]
    rows = [
        {"peak": label + random.normal(), "noise": random.normal(), "same": 3.0} for label in labels
    ]
    return rows, labels, [f"scene {number // 4}" for number in range(count)]


def test_the_score_is_the_weighted_sum_and_its_parts_say_of_what() -> None:
    values = {"peak": 2.5, "screen": -3.0, "unknown": 7.0}
    assert MODEL.contributions(values) == pytest.approx({"peak": 1.5, "screen": -0.25})
    assert MODEL.score(values) == pytest.approx(0.75)


def test_what_is_missing_adds_nothing_and_what_is_far_off_no_more_than_four_deviations() -> None:
    assert MODEL.score({"peak": math.nan}) == MODEL.intercept
    assert MODEL.score({"peak": 1e9}) == pytest.approx(4 * 1.5 - 0.5)
    assert MODEL.score({"peak": -math.inf}) == pytest.approx(-4 * 1.5 - 0.5)


def test_it_is_what_scikit_learn_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "STRENGTHS", (0.1,))
    rows, labels, sources = planted()
    model = fit_linear_model(rows, labels, sources)
    assert model.features == ("peak", "noise")
    table = np.array([[row["peak"], row["noise"]] for row in rows])
    scaler = StandardScaler().fit(table)
    theirs = LogisticRegression(C=0.1).fit(scaler.transform(table), labels)
    expected = theirs.decision_function(scaler.transform(table))
    np.testing.assert_allclose([model.score(row) for row in rows], expected, atol=0.01)


def test_a_feature_that_tells_nothing_weighs_little() -> None:
    model = fit_linear_model(*planted())
    weights = dict(zip(model.features, model.weights, strict=True))
    assert weights["peak"] > 0.5
    assert abs(weights["noise"]) < 0.3


def test_it_goes_to_json_and_back() -> None:
    assert LinearModel.model_validate_json(MODEL.model_dump_json()) == MODEL


def test_a_model_without_a_weight_for_each_feature_is_refused() -> None:
    with pytest.raises(ValidationError, match="each feature"):
        LinearModel(features=("peak",), means=(), deviations=(1,), weights=(1,), intercept=0)


def test_too_few_sources_and_features_that_never_change_are_refused() -> None:
    rows, labels, sources = planted()
    with pytest.raises(CalibrationError, match="5 sources"):
        fit_linear_model(rows, labels, ["one"] * len(rows))
    with pytest.raises(CalibrationError, match="no feature changes"):
        fit_linear_model(rows, labels, sources, features=["same"])
