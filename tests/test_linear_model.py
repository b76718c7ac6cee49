"""One number of many, told by feature, unmoved by what was never seen."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from trueshot.calibration.linear_model import LinearModel

MODEL = LinearModel(
    features=("peak", "screen"),
    means=(2.0, -1.0),
    deviations=(0.5, 2.0),
    weights=(1.5, 0.25),
    intercept=-0.5,
)


def test_the_score_is_the_weighted_sum_and_its_parts_say_of_what() -> None:
    values = {"peak": 2.5, "screen": -3.0, "unknown": 7.0}
    assert MODEL.contributions(values) == pytest.approx({"peak": 1.5, "screen": -0.25})
    assert MODEL.score(values) == pytest.approx(0.75)


def test_what_is_missing_adds_nothing_and_what_is_far_off_no_more_than_four_deviations() -> None:
    assert MODEL.score({"peak": math.nan}) == MODEL.intercept
    assert MODEL.score({"peak": 1e9}) == pytest.approx(4 * 1.5 - 0.5)
    assert MODEL.score({"peak": -math.inf}) == pytest.approx(-4 * 1.5 - 0.5)


def test_it_goes_to_json_and_back() -> None:
    assert LinearModel.model_validate_json(MODEL.model_dump_json()) == MODEL


def test_a_model_without_a_weight_for_each_feature_is_refused() -> None:
    with pytest.raises(ValidationError, match="each with one mean, deviation and weight"):
        LinearModel(features=("peak",), means=(), deviations=(1,), weights=(1,), intercept=0)


def test_a_model_that_can_give_a_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValidationError, match="so large that a score may be infinite"):
        LinearModel(
            features=("peak", "screen"),
            means=(0, 0),
            deviations=(1, 1),
            weights=(1e308, -1e308),
            intercept=0,
        )
    with pytest.raises(ValidationError, match="finite number"):
        LinearModel.model_validate_json(
            MODEL.model_dump_json().replace('"deviations":[0.5', '"deviations":[1e999')
        )
