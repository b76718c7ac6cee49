"""The service: the same verdicts as the judge, limits that hold, and errors that say what to do."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import HANGS, photo_pixels, wait_until
from fastapi import Response
from PIL import Image
from web_service import (
    Served,
    bright,
    new_client,
    photograph,
    real_service,
    served,
    small_bundle,
)

from trueshot.calibration.verbal_scale import PROPOSITIONS, in_figures, in_words
from trueshot.engines.pool import Answer, Pool
from trueshot.errors import BundleError, RunError
from trueshot.images import read_image
from trueshot.inference import Predictor
from trueshot.scanning.verdict import COLUMNS, Verdict
from trueshot.web import server
from trueshot.web.middleware import HEADERS
from trueshot.web.schemas import VerdictAnswer
from trueshot.web.settings import ServiceSettings

HERE = Path(__file__).parent
BYTES = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module", autouse=True)
def _known_here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def real(folder: Path) -> Iterator[Served]:
    """Judges by small detectors, as the service does."""
    with real_service(folder) as service:
        yield service


@pytest.fixture(scope="module")
def quick() -> Iterator[Served]:
    """Judges by brightness, within narrow limits."""
    with served(
        allowed_hosts=("named.example",),
        max_upload_mb=0.2,
        max_megapixels=0.01,
        max_files=3,
    ) as service:
        yield service


@pytest.fixture(scope="module")
def hasty() -> Iterator[Served]:
    """Judges by brightness, and waits for nobody."""
    with served(seconds=3.0, upload_seconds=1.0) as service:
        yield service


def assert_problem(answer: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert said["status"] == status
    assert said["type"].startswith("urn:trueshot:problem:")
    assert {"title", "detail"} < said.keys()
    for word in words:
        assert word in said["detail"]
    return said


# ---- What is answered ----


@pytest.mark.parametrize("name", ["accurate", "robust"])
def test_a_verdict_is_that_of_the_judge_with_all_that_a_scan_says(
    real: Served, folder: Path, name: str
) -> None:
    path = photograph(folder, 3, True)
    answer = real.send(path.read_bytes(), name="a/b\\photo.png", detector=name)
    (said,) = answer.json()["verdicts"]
    facts = real.app.state.service.pool.facts[name]
    predictor = Predictor.load(
        folder / {"accurate": "accurate.safetensors", "robust": "robust.st"}[name]
    )
    prediction = predictor.predict(read_image(path).pixels)
    assert answer.status_code == 200
    assert said["score"] == pytest.approx(prediction.score, abs=1e-6)
    assert said["log10_lr"] == pytest.approx(prediction.log10_lr, abs=1e-6)
    assert (said["verdict"], said["crops"]) == (prediction.verdict, len(prediction.scores))
    assert said["likelihood_ratio"] == pytest.approx(10 ** said["log10_lr"])
    assert said["in_words"].startswith(in_words(said["log10_lr"]))
    assert said["in_figures"] == in_figures(said["log10_lr"])
    assert said["propositions"] == list(PROPOSITIONS)
    assert (said["file"], said["format"], said["width"]) == ("photo.png", "PNG", 128)
    assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert said["detector"] == facts["sha256"]
    assert set(COLUMNS) < said.keys()
    assert said["pictures"] is None


def test_pictures_come_if_asked_for_and_fit_the_photograph(real: Served, folder: Path) -> None:
    path = photograph(folder, 4, True)
    (said,) = real.send(path.read_bytes(), pictures="true").json()["verdicts"]
    shown = said["pictures"]
    prediction = Predictor.load(folder / "accurate.safetensors").predict(read_image(path).pixels)
    assert tuple(map(tuple, shown["corners"])) == prediction.corners
    assert shown["side"] == 32
    for name in ("thumbnail", "heat"):
        kind, _, content = shown[name].partition(";base64,")
        assert kind in ("data:image/jpeg", "data:image/png")
        assert content
    assert {"crop", "seen", "kind", "corner", "score"} == shown["key_crop"].keys()


def test_a_form_gets_a_verdict_for_each_file_and_bad_ones_are_errors_among_them(
    quick: Served,
) -> None:
    files = [
        ("file", ("../bright.png", bright(250))),
        ("file", ("note.txt", b"no image")),
        ("any name", ("dark.png", bright(3))),
    ]
    with quick.client() as client:
        answer = client.post("/v1/verdicts", files=files)
    said = answer.json()["verdicts"]
    assert answer.status_code == 200
    assert [each["file"] for each in said] == ["bright.png", "note.txt", "dark.png"]
    assert [each["verdict"] for each in said] == ["recaptured", "error", "original"]
    assert "convert it" in said[1]["reason"]


def bomb() -> bytes:
    """A PNG that declares 60,000 × 60,000 pixels."""
    size = struct.pack(">II", 60_000, 60_000) + b"\x08\x02\0\0\0"
    chunk = b"IHDR" + size
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    return head + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 422, "empty"),
        (b"text of any kind", 415, "is no image"),
        (bright(9)[:60], 422, "damaged or cut"),
        (bomb(), 413, "60000×60000"),
        (b"\xff\xd8\xff" + b"\0" * 99, 422, "damaged or cut"),
        (b"DIE!", 422, "its worker process died"),
        (b"EAT!", 422, "needs more memory"),
        (b"FAIL", 422, "could not be judged"),
    ],
)
def test_a_file_that_cannot_be_judged_is_a_problem_that_says_why(
    quick: Served, data: bytes, status: int, words: str
) -> None:
    said = assert_problem(quick.send(data, name="bad.jpg"), status, "bad.jpg: ", words)
    assert said["verdict"]["verdict"] == "error"
    assert quick.send(bright(250)).json()["verdicts"][0]["verdict"] == "recaptured"


def test_a_decoder_that_hangs_or_dies_takes_down_its_own_request_only(hasty: Served) -> None:
    with ThreadPoolExecutor(6) as threads:
        bad = [threads.submit(hasty.send, data) for data in (b"HANG", b"DIE!")]
        good = [threads.submit(hasty.send, bright(250)) for _ in range(3)]
        assert [each.result().status_code for each in good] == [200] * 3
        assert [each.result().status_code for each in bad] == [504, 422]
    said = assert_problem(bad[0].result(), 504, "upload: ", "took longer than 3 s")
    assert said["verdict"]["verdict"] == "error"
    assert hasty.send(bright(250)).json()["verdicts"][0]["verdict"] == "recaptured"


def test_an_attack_keeps_its_budget_and_tells_both_verdicts_and_what_a_file_loses(
    real: Served, folder: Path
) -> None:
    data = photograph(folder, 5, True).read_bytes()
    shown = {}
    with real.client(headers=BYTES) as client:
        for name in ("accurate", "robust"):
            answer = client.post(f"/v1/attacks?method=pgd&budget=3&detector={name}", content=data)
            said = answer.json()
            shown = {key: pixels_of(uri) for key, uri in said["pictures"].items()}
            change = shown["after"].astype(int) - shown["before"]
            assert 0 < np.abs(change).max() <= said["largest_change"] <= 3
            assert (shown["noise"] == np.clip(128 + said["gain"] * change, 0, 255)).all()
            towards = -1 if said["away_from"] == "recaptured" else 1
            assert towards * (said["after"]["score"] - said["before"]["score"]) > 0
            plain = client.post(f"/v1/verdicts?detector={name}", content=data).json()
            assert said["before"]["score"] == plain["verdicts"][0]["score"]
            assert said["note"] is None
        for budget, left in ((2.5, "no more than 2"), (0.4, "nothing")):
            said = client.post(f"/v1/attacks?method=fgsm&budget={budget}", content=data).json()
            assert said["note"].endswith(f"of a budget of {budget} levels {left} is left in it.")
            assert said["largest_change"] == int(budget)
        flat = client.post("/v1/attacks?method=fgsm&budget=3", content=bright(9, 64))
        assert_problem(flat, 422, "cannot be attacked", "flat")
        assert_problem(client.post("/v1/attacks?method=fgsm&budget=16", content=data), 422)
        assert_problem(client.post("/v1/attacks?method=none&budget=1", content=data), 422)


def pixels_of(uri: str) -> np.ndarray:
    import base64

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_the_report_tells_of_every_file_and_asks_for_nothing(real: Served, folder: Path) -> None:
    data = photograph(folder, 6, True).read_bytes()
    files = [("file", ("first.png", data)), ("file", ("<b>second.txt", b"none"))]
    with real.client() as client:
        answer = client.post("/v1/reports", files=files)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert hashlib.sha256(data).hexdigest() in answer.text
    assert "first.png" in answer.text
    assert "<b>second" not in answer.text


def test_the_server_tells_of_its_detectors_and_itself(real: Served) -> None:
    with real.client() as client:
        plain, robust = client.get("/v1/detectors").json()
        health = client.get("/v1/health").json()
    assert (plain["name"], plain["card"]["title"]) == ("accurate", "Untrained 1")
    assert (robust["name"], robust["card"]["title"]) == ("robust", "Untrained 2")
    assert (health["status"], health["workers"], health["places"]) == ("ok", 2, 6)


def test_no_request_waits_for_facts_of_detectors_that_are_loaded_again(
    real: Served, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Pool.facts` waits for a new fork server, and would hold up the loop of all requests."""
    monkeypatch.delattr(Pool, "facts")
    data = photograph(folder, 7).read_bytes()
    answers = [real.shared.get("/"), real.shared.get("/v1/detectors"), real.send(data)]
    answers.append(real.shared.post("/v1/reports", content=data, headers=BYTES))
    assert [answer.status_code for answer in answers] == [200] * 4


def test_the_description_holds_models_problems_and_an_example_that_is_one(quick: Served) -> None:
    with quick.client() as client:
        said = client.get("/v1/openapi.json").json()
    post = said["paths"]["/v1/verdicts"]["post"]
    assert {"200", "408", "413", "415", "422", "503", "504"} <= post["responses"].keys()
    assert "application/problem+json" in post["responses"]["422"]["content"]
    assert "multipart/form-data" in post["requestBody"]["content"]
    schemas = said["components"]["schemas"]
    (example,) = schemas["VerdictAnswer"]["examples"]
    empty = dict.fromkeys(VerdictAnswer.model_fields)  # what is null is left out of descriptions
    assert VerdictAnswer.model_validate(empty | example).verdict == "recaptured"
    assert set(COLUMNS) < schemas["VerdictAnswer"]["properties"].keys()
    assert "Problem" in schemas
    assert "HTTPValidationError" not in json.dumps(said)


# ---- Limits ----


def test_a_body_that_declares_too_much_is_refused_before_it_is_sent(quick: Served) -> None:
    head = "POST /v1/verdicts HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    with socket.create_connection(("127.0.0.1", quick.port), timeout=HANGS) as connection:
        connection.sendall(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_body_that_declares_nothing_is_cut_where_the_limit_is(quick: Served) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(300):
            yield b"\0" * 1000

    with quick.client() as client:
        answer = client.post("/v1/verdicts", content=pieces(), headers=BYTES)
        assert_problem(answer, 413, "200,000 bytes")
        assert client.post("/v1/verdicts", content=bright(9), headers=BYTES).is_success


def test_a_form_is_held_to_its_length_its_files_and_its_form(quick: Served) -> None:
    with quick.client() as client:
        files = [("file", (f"{number}.png", bright(9))) for number in range(4)]
        assert_problem(client.post("/v1/verdicts", files=files), 413, "3 files")
        assert_problem(client.post("/v1/attacks?method=fgsm&budget=1", files=files[:2]), 422)
        large = {"file": ("large.png", b"\0" * 300_000)}
        assert_problem(client.post("/v1/verdicts", files=large), 413)
        kind = {"content-type": "multipart/form-data; boundary=b"}
        nameless = b"--b\r\n\r\nno name\r\n--b--\r\n"
        assert_problem(
            client.post("/v1/verdicts", content=nameless, headers=kind), 422, "is not a file"
        )
        part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        field = client.post("/v1/verdicts", files=files[:1], data={"detector": "robust"})
        assert_problem(field, 422, "detector is not a file; put parameters in the URL")
        cut = [b"", b"--b\r\n", part, part + bright(9), part + bright(9) + b"\r\n--b\r\n"]
        for body in (*cut, part + bright(9) + b"\r\n--b", b"nonsense", b"--b\x00\r\n\r\n--b--"):
            assert_problem(client.post("/v1/verdicts", content=body, headers=kind), 400, "form")
        whole = part + bright(9) + b"\r\n--b--\r\n"
        assert client.post("/v1/verdicts", content=whole, headers=kind).is_success
        bare = {"content-type": "multipart/form-data"}
        assert_problem(client.post("/v1/verdicts", content=b"--", headers=bare), 400)


BODY = 30_000_000  # more than all buffers between two processes of one machine hold


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/verdicts", {}, 413),
        ("/v1/reports", {}, 413),
        ("/v1/attacks?method=fgsm&budget=1", {}, 413),
        ("/v1/attacks?method=none&budget=1", {}, 422),
        ("/v1/verdicts?detector=none", {}, 422),
        ("/v1/verdicts", {"Content-Type": "text/plain"}, 415),
        ("/v1/verdicts", {"Origin": "https://evil.example"}, 403),
        ("/v1/verdicts", {"Host": "evil.example"}, 421),
        ("/v1/nothing", {}, 404),
        ("/v1/health", {}, 405),
    ],
)
def test_a_refusal_reaches_a_client_that_sends_all_before_it_looks(
    quick: Served, path: str, headers: dict[str, str], status: int
) -> None:
    told = {"Host": "localhost", "Content-Type": "image/png", **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    head = "\r\n".join([*lines, f"Content-Length: {BODY}", "", ""]).encode()
    with socket.create_connection(("127.0.0.1", quick.port), timeout=HANGS) as connection:
        connection.sendall(head)
        for _ in range(BODY // 1_000_000):
            connection.sendall(bytes(1_000_000))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.read())["status"] == status
        # The connection is as good as before.
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        again = http.client.HTTPResponse(connection)
        again.begin()
        assert again.status == 200


def test_a_client_that_asks_before_it_sends_is_told_not_to(quick: Served) -> None:
    head = "POST /v1/verdicts HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    with socket.create_connection(("127.0.0.1", quick.port), timeout=HANGS) as connection:
        asks = f"{head}Expect: 100-continue\r\nContent-Length: {BODY}\r\n\r\n"
        connection.sendall(asks.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read())["status"] == 413


def test_what_is_left_of_a_body_is_waited_for_no_longer_than_a_body(hasty: Served) -> None:
    head = "POST /v1/none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=HANGS) as connection:
        connection.sendall(head.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 404
        with suppress(ConnectionResetError):
            answer.read()
            assert connection.recv(1) == b""


@pytest.mark.parametrize(
    "path", ["/", "/v1/health", "/v1/detectors", "/v1/openapi.json", "/static/page.js"]
)
def test_what_can_be_got_has_a_head_of_its_own(quick: Served, path: str) -> None:
    whole, head = quick.shared.get(path), quick.shared.head(path)
    assert head.status_code == whole.status_code == 200
    assert head.content == b""
    names = ("content-type", "content-length", *HEADERS)
    assert [head.headers[name] for name in names] == [whole.headers[name] for name in names]


def test_a_head_of_what_cannot_be_got_is_refused_as_that_is(quick: Served) -> None:
    for path in ("/v1/verdicts", "/v1/none"):
        assert quick.shared.head(path).status_code == quick.shared.get(path).status_code


@pytest.mark.parametrize(
    "name", ["Origin", "Sec-Fetch-Site", "Content-Type", "Host", "Content-Length"]
)
def test_a_header_that_is_given_twice_is_refused(quick: Served, name: str) -> None:
    given = {
        "Host": "localhost",
        "Origin": quick.address,
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "image/png",
        "Content-Length": "1",
    }
    again = {"Origin": "https://evil.example", "Content-Length": "2"}.get(name, given[name])
    lines = ["POST /v1/verdicts HTTP/1.1", *(f"{key}: {value}" for key, value in given.items())]
    with socket.create_connection(("127.0.0.1", quick.port), timeout=HANGS) as connection:
        connection.sendall("\r\n".join([*lines, f"{name}: {again}", "", "a"]).encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            "verdicts?detecter=robust",
            "detecter is not a parameter; choose from: detector, pictures, name",
        ),
        ("reports?detector=robust&=", "a parameter without a name is not a parameter"),
        ("reports?%00=1", r"is not a parameter; choose from: detector, name"),
        ("attacks?method=fgsm&budget=1&budget=4", "budget is given more than once"),
        ("health?detector=robust", "detector is not a parameter; choose from: none"),
    ],
)
def test_an_argument_that_is_none_or_given_twice_is_named(
    quick: Served, address: str, words: str
) -> None:
    """What was meant by it would not be done, and nobody would know."""
    method = "GET" if address.startswith("health") else "POST"
    answer = quick.shared.request(method, f"/v1/{address}", content=bright(9), headers=BYTES)
    assert_problem(answer, 422, words)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_a_body_of_another_kind_is_refused_with_those_that_are_taken(
    quick: Served, kind: str
) -> None:
    with quick.client() as client:
        answer = client.post("/v1/verdicts", content=b"a=b", headers={"content-type": kind})
    assert_problem(answer, 415, "multipart/form-data")
    assert "image/*" in answer.headers["accept-post"]


def test_a_client_that_sends_too_slowly_is_told_so(hasty: Served) -> None:
    head = "POST /v1/verdicts HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=HANGS) as connection:
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\nfew".encode())
        assert connection.recv(12) == b"HTTP/1.1 408"
    assert hasty.app.state.service.taken == 0


def test_a_client_that_says_nothing_is_not_waited_for(
    quick: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_SECONDS_BETWEEN", 0.3)
    for beginning in (b"", b"GET / HT"):
        with socket.create_connection(("127.0.0.1", quick.port), timeout=HANGS) as connection:
            connection.sendall(beginning)
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_who_finds_the_queue_full_is_told_when_to_come_back(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with served(workers=1, queue=1) as service, ThreadPoolExecutor(2) as threads:
        waiting = []
        for data in (b"GATE" + bytes(gate), bright(250)):
            waiting.append(threads.submit(service.send, data))
            wait_until(lambda: service.app.state.service.taken == len(waiting))
        refused = service.send(bright(250))
        assert_problem(refused, 503, "try again")
        assert int(refused.headers["retry-after"]) > 0
        gate.touch()
        assert [each.result().status_code for each in waiting] == [415, 200]


def test_who_leaves_the_queue_is_not_judged(tmp_path: Path) -> None:
    gate, kept = tmp_path / "gate", tmp_path / "kept"
    head = "POST /v1/verdicts HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    with served(workers=1, queue=3, keep=kept) as service:
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(service.send, b"GATE" + bytes(gate))
            wait_until(lambda: service.app.state.service.taken == 1)
            with socket.create_connection(("127.0.0.1", service.port), HANGS) as connection:
                data = bright(7)
                connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
                wait_until(lambda: service.app.state.service.taken == 2)
            wait_until(lambda: service.app.state.service.taken == 1)
            gate.touch()
            assert waiting.result().status_code == 415
        assert service.send(bright(250)).is_success
        first, judged = kept_in(kept)
        assert first["verdict"] == "error"
        assert judged["verdict"] == "recaptured"


def kept_in(folder: Path) -> list[dict[str, Any]]:
    """Verdicts that a service kept."""
    return [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]


LARGE = 24 * 2**20  # more than the system's own buffers hold


def test_a_large_answer_is_read_as_slowly_as_one_likes_but_not_left_lying(
    quick: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick.app.add_api_route("/large", lambda: Response(bytes(LARGE)))
    monkeypatch.setattr(server, "_SECONDS_BETWEEN", HANGS)  # the looks below are all there are
    assert received(quick, monkeypatch, reads_of_one_look=1) >= LARGE
    assert received(quick, monkeypatch, reads_of_one_look=0) < LARGE


def received(service: Served, monkeypatch: pytest.MonkeyPatch, reads_of_one_look: int) -> int:
    """Bytes that come to a client that reads so often between looks at it, and then all.

    The looks are those that a service has after some seconds.
    """
    made = connections(monkeypatch)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(HANGS)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = len(connection.recv(1))
        (protocol,) = made
        wait_until(lambda: protocol._unread > 0)  # all is written, and waits to be read
        for _ in range(15):
            before = protocol._unread
            for _ in range(reads_of_one_look):
                got += len(connection.recv(200_000, socket.MSG_WAITALL))
                wait_until(lambda before=before: protocol._left_to_read() < before)
            look(protocol)
        with suppress(ConnectionResetError):
            while got < LARGE and (piece := connection.recv(2**20)):
                got += len(piece)
    return got


@pytest.mark.parametrize(
    ("sent", "times"),
    [("", 40), ("Content-Length: 5\r\n", 1)],
    ids=["asks-on-and-on", "leaves-its-body-unsent"],
)
def test_a_client_that_reads_nothing_holds_no_connection(
    quick: Served, monkeypatch: pytest.MonkeyPatch, sent: str, times: int
) -> None:
    quick.app.add_api_route("/much", lambda: Response(bytes(8 * 2**20)))
    monkeypatch.setattr(server, "_SECONDS_BETWEEN", 0.2)
    made = connections(monkeypatch)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(HANGS)
        connection.connect(("127.0.0.1", quick.port))
        connection.sendall(f"GET /much HTTP/1.1\r\nHost: localhost\r\n{sent}\r\n".encode() * times)
        wait_until(lambda: bool(made) and made[0].cycle is not None)
        wait_until(made[0].transport.is_closing)


def connections(monkeypatch: pytest.MonkeyPatch) -> list[server.TimeoutProtocol]:
    """Return a list to which each new connection to a service is appended."""
    made: list[server.TimeoutProtocol] = []
    connected = server.TimeoutProtocol.connection_made

    def note(protocol: server.TimeoutProtocol, transport: Any) -> None:
        made.append(protocol)
        connected(protocol, transport)

    monkeypatch.setattr(server.TimeoutProtocol, "connection_made", note)
    return made


def look(protocol: server.TimeoutProtocol) -> None:
    """Have a service look whether its answer is read, as it does after a while."""
    looked = threading.Event()
    protocol.loop.call_soon_threadsafe(lambda: (protocol._look(), looked.set()))
    assert looked.wait(HANGS)


def test_many_requests_at_once_are_answered_and_leave_nothing_behind() -> None:
    with served(workers=2, queue=4) as service:

        def send(number: int) -> list[int]:
            """Statuses until it was judged."""
            said = [service.send(bright(number % 256, 64)).status_code]
            while said[-1] == 503:
                time.sleep(0.05)
                said.append(service.send(bright(number % 256, 64)).status_code)
            return said

        with ThreadPoolExecutor(16) as threads:
            first = list(threads.map(send, range(60)))
            before = memory_of_workers(service)
            second = list(threads.map(send, range(140)))
        assert {said[-1] for said in first + second} == {200}
        assert service.app.state.service.taken == 0
        assert memory_of_workers(service) < before + 20_000_000


def memory_of_workers(service: Served) -> int:
    """Bytes that all workers hold."""
    if not sys.platform.startswith("linux"):
        pytest.skip("as Linux tells it")
    parent = service.app.state.service.pool._fork_server._process.pid
    held = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        held += int(fields[21]) * 4096 if int(fields[1]) == parent else 0
    assert held
    return held


# ---- Who may ask, and what is kept ----


def test_every_answer_has_the_strict_headers_and_no_cookie(quick: Served) -> None:
    with quick.client() as client:
        answers = [
            client.get("/"),
            client.get("/static/page.js"),
            client.get("/v1/health"),
            client.get("/nowhere"),
            client.get("/static/../app.py"),
            client.get("/v1/verdicts"),
            client.get("/", headers={"host": "evil.example"}),
            client.post("/v1/verdicts", headers={"origin": "https://evil.example"}),
            client.post("/v1/verdicts", content=b"DIE!", headers=BYTES),
        ]
    assert [each.status_code for each in answers] == [200, 200, 200, 404, 404, 405, 421, 403, 422]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "set-cookie" not in answer.headers
        assert "server" not in answer.headers
        assert not any(name.startswith("access-control") for name in answer.headers)
    for answer in answers[3:]:
        assert_problem(answer, answer.status_code)


def test_what_was_not_foreseen_is_told_without_the_inside(
    quick: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(quick.app.state.service, "predict", broken)
    answer = quick.send(bright(9))
    assert_problem(answer, 500)
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST.:9", 200),
        ("127.0.0.1:1234", 200),
        ("[::1]:80", 200),
        ("named.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost@evil.example", 421),
        ("", 421),
        ("[", 421),
    ],
)
def test_only_a_server_that_is_asked_by_its_own_name_answers(
    quick: Served, host: str, status: int
) -> None:
    answer = quick.shared.get("/v1/health", headers={"host": host})
    assert answer.status_code == status


def test_pages_of_other_sites_may_not_post(quick: Served) -> None:
    own = quick.address
    good = [
        {},
        {"origin": own},
        {"origin": own.upper(), "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ]
    bad = [
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "https://evil.example"},
        {"origin": "http://["},
        {"origin": "http://[::1"},
        {"origin": own, "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ]
    with quick.client() as client:
        for headers, status in [*((each, 200) for each in good), *((each, 403) for each in bad)]:
            answer = client.post("/v1/verdicts", content=bright(9), headers=BYTES | headers)
            assert answer.status_code == status, headers
        asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        preflight = client.options("/v1/verdicts", headers=asked)
    assert not preflight.is_success
    assert "access-control-allow-origin" not in preflight.headers


WRITTEN: list[str] = []
WATCHING: list[bool] = []


def _note_writes(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and WATCHING:
        path, mode, flags = arguments
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & 3:
            WRITTEN.append(str(path))


def test_nothing_is_written_to_disk(
    quick: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    sys.addaudithook(_note_writes)
    large = bright(250) + b"\0" * 150_000  # in a form, the framework would put it into a file
    WATCHING.append(True)
    try:
        with quick.client() as client:
            answers = [
                client.post("/v1/verdicts", files={"file": ("large.png", large)}),
                client.post("/v1/verdicts", content=large, headers=BYTES),
                client.post("/v1/verdicts", content=b"DIE!", headers=BYTES),
                client.post("/v1/reports", files={"file": ("large.png", large)}),
                client.get("/"),
            ]
        with (tmp_path / "planted").open("w"):
            pass
    finally:
        WATCHING.clear()
    assert [each.status_code for each in answers] == [200, 200, 422, 200, 200]
    assert [str(tmp_path / "planted")] == WRITTEN
    assert [path.name for path in tmp_path.iterdir()] == ["planted"]


def test_what_is_kept_is_kept_under_its_hash_with_its_verdict(tmp_path: Path) -> None:
    data = bright(250)
    with served(keep=tmp_path / "kept") as service:
        for name in ("../../evil.png", "/etc/passwd", "twice.png"):
            assert service.send(data, name=name).is_success
        assert not service.send(b"no image").is_success
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    sha256 = hashlib.sha256(data).hexdigest()
    assert names == {sha256, hashlib.sha256(b"no image").hexdigest(), "verdicts.jsonl"}
    assert (tmp_path / "kept" / sha256).read_bytes() == data
    files = [line["file"] for line in kept_in(tmp_path / "kept")]
    assert files == ["evil.png", "passwd", "twice.png", "upload"]


def test_a_record_that_was_cut_off_takes_no_other_with_it(tmp_path: Path) -> None:
    (tmp_path / "verdicts.jsonl").write_text('{"file": "whole.png"}\n{"file": "cut o')
    with served(keep=tmp_path) as service:
        for name in ("one.png", "two.png"):
            assert service.send(bright(250), name=name).is_success
    whole, cut, *others = (tmp_path / "verdicts.jsonl").read_text().splitlines()
    assert (whole, cut) == ('{"file": "whole.png"}', '{"file": "cut o')
    assert [json.loads(line)["file"] for line in others] == ["one.png", "two.png"]


def test_what_its_decoder_dies_of_or_is_attacked_is_kept_too(tmp_path: Path) -> None:
    with served(keep=tmp_path, seconds=1.0) as service:
        sent = [b"DIE!", b"HANG"]
        assert [service.send(data).status_code for data in sent] == [422, 504]
        sent.append(b"DIE!" + bright(9))
        how = {"params": {"method": "fgsm", "budget": 1}, "headers": BYTES}
        assert service.shared.post("/v1/attacks", content=sent[-1], **how).status_code == 422
    hashes = [hashlib.sha256(data).hexdigest() for data in sent]
    assert {path.name for path in tmp_path.iterdir()} == {*hashes, "verdicts.jsonl"}
    assert [line["sha256"] for line in kept_in(tmp_path)] == hashes[:2]
    assert [line["verdict"] for line in kept_in(tmp_path)] == ["error"] * 2


def test_a_disk_that_takes_nothing_costs_no_verdict(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with served(keep=tmp_path / "file" / "kept") as service:
        answer = service.send(bright(250))
    assert answer.status_code == 200
    (said,) = answer.json()["verdicts"]
    assert said["verdict"] == "recaptured"
    assert said["notes"] == ["the file could not be stored", "the verdict could not be stored"]
    assert caplog.text.count("Not a directory") == 2


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {"file": "a", "verdict": "yes"},
        {"file": "a", "verdict": "original", "log10_lr": 1e9},
        {"file": "a", "verdict": "original", "sha256": "../../evil"},
        {"file": "a", "verdict": "original", "width": 2**40},
    ],
)
def test_nonsense_of_a_worker_is_an_error_of_its_file(
    quick: Served, monkeypatch: pytest.MonkeyPatch, record: Any
) -> None:
    say(quick, monkeypatch, {"verdict": record, "error": ["none"]})
    said = assert_problem(quick.send(bright(9), name="a.png"), 422, "a.png: ")
    assert said["verdict"]["verdict"] == "error"


def say(service: Served, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]) -> None:
    """Have the workers of a service say this, as one could that was taken over by what it read."""

    async def ask(*_: Any) -> Answer:
        return Answer(content, {"explanation": b"nonsense"})

    monkeypatch.setattr(service.app.state.service, "_ask", ask)


def test_what_a_worker_says_bears_the_name_and_hash_known_here_and_is_printable(
    quick: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Verdict(file="other", verdict="error", sha256="0" * 64, reason="\x1b[2J").as_record()
    say(quick, monkeypatch, {"verdict": record, "error": "999"})
    said = assert_problem(quick.send(b"data", name="a.png"), 422, r"a.png: \x1b[2J")
    assert said["verdict"]["sha256"] == hashlib.sha256(b"data").hexdigest()
    for content in ({}, {"refused": "\x1b", "error": {}}, {"before": 1}):
        say(quick, monkeypatch, content)
        how = {"params": {"method": "fgsm", "budget": 1}, "headers": BYTES}
        answer = quick.shared.post("/v1/attacks", content=b"data", **how)
        assert_problem(answer, 422)
        assert "\\u001b" not in answer.text


# ---- Starting ----


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_upload_mb": 0},
        {"seconds": -1},
        {"workers": 0},
        {"queue": -1},
        {"max_files": 0},
        {"port": 70_000},
        {"max_megapixels": float("nan")},
        {"max_upload_mb": float("inf")},
        {"seconds": float("inf")},
        {"upload_seconds": 1e300},
    ],
)
def test_limits_that_let_nothing_through_or_are_none_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(RunError, match=f"^{name.replace('_', ' ')} must be .*, got "):
        ServiceSettings(**wrong)


@pytest.mark.parametrize(
    "name", ["https://judge.example", "judge.example:8443", "judge.example/", "*", "", "[::1]:80"]
)
def test_a_further_host_that_no_request_can_name_is_refused(name: str) -> None:
    with pytest.raises(RunError, match="without scheme, port or path"):
        ServiceSettings(allowed_hosts=(name,))
    named = ServiceSettings(allowed_hosts=("judge.example", "LAN_box.", "fe80::1", "[::2]"))
    assert named.hosts >= {"judge.example", "lan_box", "fe80::1", "::2"}


@pytest.mark.parametrize(
    ("host", "is_private"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_a_warning_is_given_where_other_machines_can_ask(host: str, is_private: bool) -> None:
    said = server.warnings_of(ServiceSettings(host=host))
    assert bool(said) != is_private
    assert "" not in ServiceSettings(host=host).hosts
    assert "0.0.0.0" not in ServiceSettings(host=host).hosts


def test_a_bundle_that_is_none_is_refused_before_anything_listens(tmp_path: Path) -> None:
    good = small_bundle(tmp_path / "good.safetensors", 1)
    (tmp_path / "bad.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(BundleError, match=r"bad\.safetensors"):
        server.serve(good, tmp_path / "bad.safetensors", ServiceSettings(port=0))


def test_it_listens_once_it_can_judge_and_ends_with_its_workers_when_interrupted(
    tmp_path: Path,
) -> None:
    good = small_bundle(tmp_path / "good.safetensors", 1)
    run = (
        "import sys; from pathlib import Path\n"
        "from trueshot.web.settings import ServiceSettings\n"
        "from trueshot.web.server import serve\n"
        "serve(Path(sys.argv[1]), Path(sys.argv[1]), ServiceSettings(port=0, workers=1))"
    )
    command = [sys.executable, "-c", run, str(good)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            port = int(line.rpartition(":")[2].partition("/")[0])
            with new_client(port) as client:
                sent = client.post("/v1/verdicts", content=bright(9, 64), headers=BYTES)
            assert sent.json()["verdicts"][0]["verdict"] == "undecided"
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == ""
            assert process.wait(HANGS) == 0
        finally:
            process.kill()


def test_a_detector_that_cannot_be_loaded_is_named_and_nothing_is_left_running(
    tmp_path: Path,
) -> None:
    good = small_bundle(tmp_path / "good.safetensors", 1)
    broad = small_bundle(tmp_path / "bare.safetensors", 1, contract=None, side=None)
    with pytest.raises(BundleError, match=r"bare\.safetensors"):
        server.serve(good, broad, ServiceSettings(port=0))


def test_a_host_that_can_be_none_is_named(tmp_path: Path) -> None:
    good = small_bundle(tmp_path / "good.safetensors", 1)
    with pytest.raises(RunError, match=r"cannot listen on this address"):
        server.serve(good, good, ServiceSettings(host="a" * 64, port=0))


def test_a_folder_that_can_keep_no_uploads_is_refused_at_the_start(tmp_path: Path) -> None:
    good = small_bundle(tmp_path / "good.safetensors", 1)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"verdicts\.jsonl: cannot be written"):
        server.serve(good, good, ServiceSettings(host="a" * 64, keep=tmp_path / "file" / "kept"))


def test_a_detector_that_cannot_be_attacked_is_refused_with_what_to_give(tmp_path: Path) -> None:
    good = small_bundle(tmp_path / "good.safetensors", 1)
    with pytest.raises(
        BundleError, match=r"x\.onnx: an ONNX file has no gradient.* give the bundle"
    ):
        server.serve(tmp_path / "x.onnx", good, ServiceSettings(port=0))


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    good = small_bundle(tmp_path / "good.safetensors", 1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RunError, match=f"127.0.0.1:{port}: cannot listen on this address"):
            server.serve(good, good, ServiceSettings(port=port))


def test_photographs_and_names_of_any_kind_come_back_printable(quick: Served) -> None:
    image = io.BytesIO()
    Image.fromarray(photo_pixels(1, False, 64)).save(image, "JPEG")
    for name in ("\x1b[31m.jpg", "a" * 900 + ".jpg", "\u202egpj.exe", "..", ""):
        (said,) = quick.send(image.getvalue(), name=name).json()["verdicts"]
        assert said["file"].isprintable()
        assert 0 < len(said["file"]) < 400
