"""The service keeps what its description says, whatever it is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests
import schemathesis
import schemathesis.specs.openapi.schemas  # rewritten by pytest: not beside a service that parses
from conftest import HANGS
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance
from test_scanning import picture
from web_service import Served, served

OPERATIONS = (
    ("POST", "/v1/verdicts"),
    ("POST", "/v1/attacks"),
    ("POST", "/v1/reports"),
    ("GET", "/v1/detectors"),
    ("GET", "/v1/health"),
)
BOUNDED = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def quick() -> Iterator[Served]:
    """Judges by brightness."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        with served(max_upload_mb=0.2, max_megapixels=0.01, max_files=3) as service:
            yield service


@pytest.fixture(scope="module")
def description(quick: Served) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{quick.address}/v1/openapi.json")


# What is got takes nothing that could be wrong.
ASKED = [(*each, mode) for each in OPERATIONS for mode in GenerationMode]
ASKED = [each for each in ASKED if each[0] == "POST" or each[2] is GenerationMode.POSITIVE]


@pytest.mark.parametrize(("method", "path", "mode"), ASKED)
def test_every_answer_is_one_that_is_described(
    description: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    operation = description[path][method]
    statuses = Counter[int]()

    @BOUNDED
    @given(operation.as_strategy(generation_mode=mode).filter(_is_sent_whole))
    def answered(case: schemathesis.Case) -> None:
        # Of bytes no schema says which are a photograph.
        answer = case.call_and_validate(timeout=HANGS, excluded_checks=[positive_data_acceptance])
        statuses[answer.status_code] += 1

    answered()
    if method == "GET":
        assert statuses.keys() == {200}
    elif mode is GenerationMode.NEGATIVE:
        assert all(400 <= status < 500 for status in statuses)
    else:  # bytes at random are seldom a photograph
        assert statuses.keys() <= {200, 415, 422}


def _is_sent_whole(case: schemathesis.Case) -> bool:
    """Whether no argument was drawn that an address cannot have: of no value, or of empty ones."""
    return all(_values_of(value) for value in (case.query or {}).values())


def _values_of(value: object) -> list[object]:
    """What of a drawn value gets into an address; of lists and objects their members."""
    values = list(value) if isinstance(value, list | dict) else [value]
    return [each for each in values if each is not None and each not in ([], {})]


def test_arguments_that_get_into_no_address_are_not_taken_for_sent() -> None:
    for value in (None, [], {}, [None], [{}, {}], [[]]):
        sent = requests.Request("GET", "http://host/", params={"name": value}).prepare().url
        assert "name" not in str(sent)
        assert not _values_of(value)
    for value in ("", 0, False, [0], [{}, 1], {"a": 1}, [[1]]):
        sent = requests.Request("GET", "http://host/", params={"name": value}).prepare().url
        assert "name" in str(sent)
        assert _values_of(value)


def test_the_answer_for_a_photograph_is_the_one_that_is_described(
    quick: Served, description: schemathesis.BaseSchema
) -> None:
    answer = quick.send(picture(9))
    assert answer.status_code == 200
    description["/v1/verdicts"]["POST"].validate_response(answer)


def test_an_answer_that_is_not_described_is_noticed(quick: Served) -> None:
    """That the test above can fail: of a description that promises more than is kept."""
    told = httpx.get(f"{quick.address}/v1/openapi.json").json()
    told["paths"]["/v1/health"]["get"]["responses"] = {
        "200": {"description": "", "content": {"application/json": {"schema": {"type": "array"}}}}
    }
    case = schemathesis.openapi.from_dict(told)["/v1/health"]["GET"].Case()
    with pytest.raises(FailureGroup, match="is not of type"):
        case.call_and_validate(base_url=quick.address, timeout=HANGS)


def test_everything_that_is_served_is_described(description: schemathesis.BaseSchema) -> None:
    described = {each.ok().label for each in description.get_all_operations()}
    assert described == {f"{method} {path}" for method, path in OPERATIONS}
