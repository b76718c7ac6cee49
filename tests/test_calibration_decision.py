"""Thresholds that keep their promise, photographs that are out of the domain, and words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trueshot.calibration import (
    PROPOSITIONS,
    Decision,
    Domain,
    choose_thresholds,
    fit_domain,
    in_words,
    needed,
    support,
)
from trueshot.calibration.domain import beyond, compressed, expanded
from trueshot.calibration.verbal_scale import beside_verdict
from trueshot.errors import CalibrationError
from trueshot.tasks import Wording

DECISION = Decision(original_to=-1.0, recaptured_from=2.0, apcer=0.05, bpcer=0.01)
DOMAIN = Domain(
    features={"sharpness": (1.2, 40.0), "clipped share": (0.0, 0.1)},
    mean=(2.0, 0.0),
    precision=((4.0, 0.0), (0.0, 100.0)),
    limit=3.0,
    fewest_crops=6,
    side=128,
)


def test_scores_on_a_threshold_belong_to_its_verdict() -> None:
    asked = (-np.inf, -1.0, -0.99, 1.99, 2.0, np.inf, np.nan)
    assert [DECISION.verdict(score) for score in asked] == [
        "original",
        "original",
        "undecided",
        "undecided",
        "recaptured",
        "recaptured",
        "undecided",
    ]
    single = Decision(original_to=0.0, recaptured_from=0.0, apcer=0.1, bpcer=0.1)
    assert [single.verdict(score) for score in (-0.1, 0.0)] == ["original", "recaptured"]


@given(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), st.lists(st.floats(-10, 10), max_size=20))
def test_verdicts_go_from_original_over_undecided_to_recaptured(
    ends: tuple[float, float], scores: list[float]
) -> None:
    low, high = sorted(ends)
    decision = Decision(original_to=low, recaptured_from=high, apcer=0.1, bpcer=0.1)
    order = [
        ("original", "undecided", "recaptured").index(decision.verdict(score))
        for score in sorted(scores)
    ]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "change",
    [
        {"original_to": 2.5},
        {"original_to": float("-inf")},
        {"recaptured_from": float("nan")},
        {"recaptured_from": "2"},
        {"apcer": 1.5},
        {"bpcer": -0.1},
        {"more": 1},
    ],
)
def test_a_damaged_decision_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Decision.model_validate({**DECISION.model_dump(), **change})


def test_thresholds_lie_just_beyond_the_photographs_that_may_be_wrong() -> None:
    originals, recaptures = np.arange(99.0), np.arange(99.0) + 50
    scores, labels = np.append(originals, recaptures), np.repeat([0, 1], 99)
    found = choose_thresholds(scores, labels, apcer=0.05, bpcer=0.02)
    assert found.recaptured_from == np.nextafter(97.0, np.inf)  # 1 of 99 above: (1 + 1) / 100
    assert found.original_to == np.nextafter(54.0, -np.inf)  # 4 of 99 below: (4 + 1) / 100
    assert (found.apcer, found.bpcer) == (0.05, 0.02)


def test_a_detector_better_than_asked_leaves_nothing_undecided() -> None:
    scores, labels = np.append(np.arange(40.0), np.arange(40.0) + 100), np.repeat([0, 1], 40)
    found = choose_thresholds(scores, labels, apcer=0.05, bpcer=0.05)
    assert found.original_to == found.recaptured_from
    assert 38 < found.original_to < 102


def test_the_worst_kind_with_enough_photographs_sets_the_threshold() -> None:
    scores = np.concatenate([np.zeros(40) - 5, np.arange(40.0) + 10, np.arange(40.0) - 20, [-99]])
    labels = np.repeat([0, 1], [40, 81])
    kinds = [""] * 40 + ["screen"] * 40 + ["print"] * 40 + ["poster"]
    alone = choose_thresholds(scores, labels, apcer=0.2, bpcer=0.2).original_to
    found = choose_thresholds(scores, labels, kinds=kinds, apcer=0.2, bpcer=0.2).original_to
    assert found == np.nextafter(-20.0 + 7, -np.inf)  # (7 + 1) / 41 of the prints lie below
    assert found < alone


@pytest.mark.parametrize(("apcer", "bpcer"), [(0.05, 0.01), (0.2, 0.07)])
def test_too_few_photographs_are_refused_with_how_many_are_needed(
    apcer: float, bpcer: float
) -> None:
    least, fewer = needed(bpcer), needed(bpcer) - 1
    scores, labels = np.arange(float(2 * least)), np.repeat([0, 1], least)
    choose_thresholds(scores, labels, apcer=apcer, bpcer=bpcer)
    with pytest.raises(CalibrationError, match=f"{least} original photographs.*there are {fewer}"):
        choose_thresholds(scores[1:], labels[1:], apcer=apcer, bpcer=bpcer)
    with pytest.raises(CalibrationError, match=f"{least} original sources.*there are 2"):
        choose_thresholds(scores, labels, ["a", "b"] * least, apcer=apcer, bpcer=bpcer)


def test_needed_photographs_are_the_least_that_a_rank_can_keep_a_rate_with() -> None:
    assert [needed(rate) for rate in (0.5, 0.1, 0.05, 0.01, 0.3)] == [1, 9, 19, 99, 3]
    for rate in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(CalibrationError, match="above 0 and below 1"):
            needed(rate)


def test_thresholds_keep_their_rates_on_average_for_photographs_drawn_alike() -> None:
    """Closed form: the wrong share of a new photograph is k / (n + 1), here 2/41 and 4/41."""
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1], 40)
    rates = []
    for _ in range(1500):
        scores = random.standard_cauchy(80) + 2 * labels
        found = choose_thresholds(scores, labels, apcer=0.1, bpcer=0.05)
        new = random.standard_cauchy(400)
        wrong = ((new >= found.recaptured_from).mean(), (new + 2 <= found.original_to).mean())
        rates.append(wrong)
    false, missed = np.mean(rates, axis=0)
    assert false == pytest.approx(2 / 41, abs=0.004)
    assert missed == pytest.approx(4 / 41, abs=0.005)


def test_with_sources_the_rate_holds_for_photographs_of_a_source_never_seen() -> None:
    random = np.random.default_rng(2)
    labels = np.tile(np.repeat([0, 1], 5), 25)
    sources = np.repeat(np.arange(25), 10)
    with_sources: list[float] = []
    without: list[float] = []
    for _ in range(400):
        scores = random.normal(size=250) / 4 + random.normal(size=25)[sources]
        new = random.normal(size=200) + random.normal(size=200) / 4
        for names, rates in ((sources.tolist(), with_sources), (None, without)):
            found = choose_thresholds(scores, labels, names, apcer=0.1, bpcer=0.1)
            rates.append(float((new >= found.recaptured_from).mean()))
    assert np.mean(with_sources) <= 0.1
    assert np.mean(without) > 0.105


def test_just_enough_sources_are_enough_however_many_photographs_they_have() -> None:
    source = [f"{number % 99}" for number in range(198_000)]
    scores, labels = np.arange(198_000.0), np.repeat([0, 1], 99_000)
    found = choose_thresholds(scores, labels, source, apcer=0.01, bpcer=0.01)
    assert found.recaptured_from == pytest.approx(98_999.5)


def test_a_photograph_inside_has_no_reasons() -> None:
    assert DOMAIN.reasons({"sharpness": 6.0, "clipped share": 0.01, "other": 1e9}, 6) == []


def test_reasons_are_sentences_that_say_what_was_calibrated() -> None:
    assert DOMAIN.reasons({"sharpness": 0.3, "clipped share": 0.25}, 2) == [
        "only 2 crops of 128 px with texture: at least 6 are needed",
        "sharpness 0.3: below the calibrated range, 1.2 to 40",
        "clipped share 0.25: above the calibrated range, 0 to 0.1",
    ]
    assert DOMAIN.reasons({"sharpness": float("nan")}, 0) == [
        "no crop of 128 px with texture: at least 6 are needed",
        "sharpness is not a number",
        "clipped share: used in the calibration, but not known for this photograph",
    ]
    (together,) = DOMAIN.reasons({"sharpness": 39.0, "clipped share": 0.01}, 9)
    assert together.startswith("unlike the calibration photographs")
    assert together.endswith("(distance 3.38, accepted up to 3)")


def test_features_of_any_size_are_outside_and_not_an_error() -> None:
    for value in (1e308, -1e308, np.inf, -np.inf):
        assert DOMAIN.reasons({"sharpness": value, "clipped share": 0.0}, 9)
    wide = DOMAIN.model_copy(update={"features": {"a": (-1e308, 1e308), "b": (0.0, 1.0)}})
    assert wide.reasons({"a": 1e308, "b": 0.0}, 9)
    assert Domain(features={}, mean=(), precision=(), limit=0, fewest_crops=1).reasons({}, 1) == []


@pytest.mark.parametrize(
    "change",
    [
        {"features": {"sharpness": (2.0, 1.0), "clipped share": (0.0, 1.0)}},
        {"features": {"sharpness": (0.0, float("nan")), "clipped share": (0.0, 1.0)}},
        {"features": {"sharpness": (0.0, 1.0)}},
        {"features": {"": (0.0, 1.0), "clipped share": (0.0, 1.0)}},
        {"features": {f"f{number}": (0.0, 1.0) for number in range(51)}},
        {"mean": (1.0,)},
        {"precision": ((4.0, 0.0),)},
        {"precision": ((4.0, 1.0), (0.0, 4.0))},
        {"precision": ((4.0, 5.0), (5.0, 4.0))},
        {"precision": ((0.0, 0.0), (0.0, 0.0))},
        {"limit": -1.0},
        {"fewest_crops": -1},
        {"side": 0},
        {"more": 1},
    ],
)
def test_a_damaged_domain_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Domain.model_validate({**DOMAIN.model_dump(), **change})


def photographs(count: int, random: np.random.Generator) -> list[dict[str, float]]:
    """Features as photographs have them: heavy tails, two that go together, a share, a constant."""
    first, second, third = random.normal(size=(3, count))
    clipped = np.where(random.random(count) < 0.6, 0.0, random.beta(1, 30, count))
    return [
        {"brightness": b, "contrast": c, "sharpness": s, "clipped share": p, "saturation": 7.0}
        for b, c, s, p in zip(
            np.clip(120 + 25 * first, 0, 255).tolist(),
            np.exp(3 + second / 2).tolist(),
            np.exp(2 + second / 2 + third / 5).tolist(),
            clipped.tolist(),
            strict=True,
        )
    ]


@pytest.mark.parametrize(("count", "most"), [(60, 0.05), (300, 0.012), (800, 0.01), (1500, 0.009)])
def test_few_photographs_like_those_calibrated_are_refused(count: int, most: float) -> None:
    random = np.random.default_rng(3)
    refused = []
    for _ in range(8):
        domain = fit_domain(photographs(count, random), [16] * count, side=128)
        refused += [bool(domain.reasons(each, 16)) for each in photographs(400, random)]
        assert all(domain.reasons(each, 16) for each in far_away())
    assert 0.001 <= np.mean(refused) <= most


def far_away() -> list[dict[str, float]]:
    """Features farther out than any of `photographs`, but on the scale of pictures."""
    usual = {"brightness": 120.0, "contrast": 20.0, "sharpness": 7.4, "clipped share": 0.0}
    usual["saturation"] = 7.0
    there = {"brightness": 254.0, "contrast": 254.0, "sharpness": 140.0, "clipped share": 0.9}
    return [{**usual, name: value} for name, value in there.items()]


def test_noise_is_not_like_photographs_of_which_few_are_noisy() -> None:
    """Noise as real photographs have it: of 1600 the median is 1.3, the greatest below 48."""
    random = np.random.default_rng(6)
    seen = np.clip(np.exp(0.3 + 1.1 * random.normal(size=1600)), 0.03, 48)
    (low, high) = fit_domain([{"noise": float(v)} for v in seen], [16] * 1600).features["noise"]
    assert seen.max() < high < 74  # the noise of uniform white noise
    assert 0 < low < seen.min()  # what has none at all came from no camera


def test_a_share_that_is_mostly_nought_reaches_little_beyond_what_was_seen() -> None:
    seen = np.zeros(1600)
    seen[:100], seen[:4] = 0.125, 0.5
    others = dict.fromkeys("abcdefg", 1.0)  # each has its part of the share that may be refused
    domain = fit_domain([{**others, "flat share": float(v)} for v in seen], [16] * 1600)
    low, high = domain.features["flat share"]
    assert low == 0
    assert 0.5 < high < 0.6


def test_what_is_mostly_nought_does_not_hide_an_unusual_combination() -> None:
    random = np.random.default_rng(7)
    flat = np.where(random.random(1600) < 0.004, 0.5, 0.0)
    known = [
        {**each, "flat share": float(share)}
        for each, share in zip(photographs(1600, random), flat, strict=True)
    ]
    domain = fit_domain(known, [16] * 1600)
    odd = {**known[0], "flat share": 0.0, "clipped share": 0.0, "brightness": 120.0}
    (reason,) = domain.reasons({**odd, "contrast": 60.0, "sharpness": 2.2}, 16)
    assert reason.startswith("unlike the calibration photographs")


def test_half_as_many_crops_as_nearly_all_had_are_enough() -> None:
    features = [{"a": 1.0}] * 1600
    for few, enough in (
        ([9] * 8, 5),
        ([1] * 7 + [9], 5),
        ([1] * 8, 1),
        ([5, 6, 7, 7] + [8] * 4, 4),
    ):
        crops = [*few, *[9] * 979, *[16] * 613]
        assert fit_domain(features, crops).fewest_crops == enough


def test_a_property_that_is_called_like_a_sentence_hides_no_reason() -> None:
    """Names come from cards, and cards from strangers."""
    domain = Domain(
        features={"only noise": (0.0, 1.0)},
        mean=(0.0,),
        precision=((1.0,),),
        limit=0.1,
        fewest_crops=2,
    )
    assert domain.reasons({}, 9) == [
        "only noise: used in the calibration, but not known for this photograph"
    ]
    assert domain.reasons({"only noise": 2.0}, 9) == [
        "only noise 2: above the calibrated range, 0 to 1"
    ]
    few, together = domain.reasons({"only noise": 0.9}, 0)
    assert few.startswith("no crop")
    assert together.startswith("unlike the calibration photographs")


def test_what_was_never_seen_is_refused_for_its_reason() -> None:
    domain = fit_domain(photographs(400, np.random.default_rng(4)), [16] * 400, side=128)
    usual = {"brightness": 120.0, "contrast": 20.0, "sharpness": 7.4, "clipped share": 0.0}
    usual["saturation"] = 7.0
    assert domain.reasons(usual, 16) == []
    assert domain.reasons(usual, 7) == [
        "only 7 crops of 128 px with texture: at least 8 are needed"
    ]
    for name, value, where in (
        ("sharpness", 0.01, "below"),
        ("sharpness", 400.0, "above"),
        ("clipped share", 0.6, "above"),
        ("saturation", 9.0, "above"),
    ):
        (reason,) = domain.reasons({**usual, name: value}, 16)
        assert reason.startswith(f"{name} {value:g}: {where} the ")
    (reason,) = domain.reasons({**usual, "contrast": 60.0, "sharpness": 2.2}, 16)
    assert reason.startswith("unlike the calibration photographs")


def test_a_fitted_domain_goes_through_json_and_is_the_same() -> None:
    domain = fit_domain(photographs(60, np.random.default_rng(5)), list(range(4, 64)))
    assert Domain.model_validate(json.loads(domain.model_dump_json())) == domain
    assert fit_domain([{}] * 20, [4] * 20).reasons({"any": 1.0}, 4) == []


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ([{"a": 1.0}] * 19, "at least 20 photographs"),
        ([{"a": 1.0}] * 20 + [{"b": 1.0}], "the same features as the first"),
        ([{"a": 1.0}] * 20 + [{"a": np.nan}], "not a finite number"),
    ],
)
def test_features_that_make_no_domain_are_refused(
    features: list[dict[str, float]], reason: str
) -> None:
    with pytest.raises(CalibrationError, match=reason):
        fit_domain(features, [4] * len(features))
    with pytest.raises(CalibrationError, match="refused must be above 0 and below 1, got 2"):
        fit_domain(features, [4] * len(features), refused=2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(0.001, 0.2))
def test_a_bound_leaves_out_no_more_than_its_share(values: list[float], share: float) -> None:
    bound = beyond(values, share)
    assert (np.array(values) > bound).sum() <= share * (len(values) + 1)
    low, high = np.quantile(values, [0.01, 0.99])
    assert bound <= max(values) + 0.1 * (high - low) + 1e-9 * (1 + abs(max(values)))


@given(st.lists(st.floats(-1e9, 1e9), max_size=9))
def test_features_are_compressed_without_loss_and_in_order(values: list[float]) -> None:
    assert expanded(compressed(values)) == pytest.approx(values, rel=1e-9, abs=1e-9)
    assert (np.diff(compressed(sorted(values))) >= 0).all()


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (1, None),
        (1.9, None),
        (2, "weak"),
        (9.9, "weak"),
        (10, "moderate"),
        (100, "moderately strong"),
        (999, "moderately strong"),
        (1000, "strong"),
        (10_000, "very strong"),
        (999_999, "very strong"),
        (1_000_000, "extremely strong"),
        (1e30, "extremely strong"),
    ],
)
def test_the_scale_has_the_same_words_in_both_directions(ratio: float, word: str | None) -> None:
    first, other = PROPOSITIONS
    assert support(np.log10(ratio)) == support(-np.log10(ratio)) == word
    if word is not None:
        assert in_words(np.log10(ratio)).endswith(
            f"provide {word} support for the proposition that {first}, rather than that {other}."
        )
        assert in_words(-np.log10(ratio)).endswith(
            f"provide {word} support for the proposition that {other}, rather than that {first}."
        )


@given(st.floats(-20, 20))
def test_words_are_about_the_findings_and_name_both_propositions(log10_lr: float) -> None:
    sentence = in_words(log10_lr)
    assert sentence.startswith("The findings ")
    assert all(proposition in sentence for proposition in PROPOSITIONS)
    assert not any(word in sentence for word in ("probab", "likely", "chance", "certain", "%"))


def test_no_evidence_supports_neither_proposition() -> None:
    assert in_words(0.0).startswith("The findings do not support either proposition")
    with pytest.raises(ValueError, match="not a number"):
        in_words(float("nan"))


def test_the_words_of_another_task_take_the_place_of_those_of_recapture() -> None:
    words = Wording.of(("plain", "blurred", "noisy"))
    asked = (DECISION.original_to - 1, DECISION.recaptured_from + 1)
    assert [DECISION.verdict(score, words) for score in asked] == ["plain", "not plain"]
    sentence = in_words(2.0, words)
    assert "not of the class “plain”, rather than that the photograph is of the class" in sentence
    assert beside_verdict("not plain", 2.0, words) == beside_verdict("plain", -2.0, words) == ""
    assert beside_verdict("not plain", -2.0, words) != ""
    with pytest.raises(
        CalibrationError, match=r"miss rate 0\.1 needs at least 9 not plain photographs"
    ):
        choose_thresholds([0.0, 1] * 9 + [0.0], [0, 1] * 8 + [0, 0, 0], apcer=0.1, bpcer=0.1,
                          wording=words)  # fmt: skip
