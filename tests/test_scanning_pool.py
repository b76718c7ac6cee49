"""Workers that hang, die, eat and write; what asks them notices an error and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from pathlib import Path

import pytest
from conftest import HANGS, wait_until

from trueshot.engines.fork_server import receive
from trueshot.engines.pool import Pool, WorkerError, WorkerTimeoutError
from trueshot.errors import BundleError, RunError, TruncatedImageError

HERE = Path(__file__).parent
TRICKS = "scanning_workers:tricks"
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as Linux has it")


@pytest.fixture(autouse=True)
def _known_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE))


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(TRICKS, {"a": [1, "ü"]}, workers=2) as made:
        yield made


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_requests_and_bytes_of_any_kind_come_back_as_they_went(pool: Pool) -> None:
    text = "ü\n\0\udc80 \u202e"
    answer = pool.run({"do": "echo", "text": text}, {"big": bytes(range(256)) * 5000, "": b""})
    assert answer.content["text"] == text
    assert answer.attached == {"big": (bytes(range(256)) * 5000)[::-1], "": b""}
    assert pool.facts["settings"] == {"a": [1, "ü"]}


def test_workers_are_forked_from_what_was_loaded_once_and_kept(pool: Pool) -> None:
    workers = {pool.run({"do": "echo"}).content["pid"] for _ in range(10)}
    assert len(workers) == 1
    assert pool.facts["pid"] not in {*workers, os.getpid()}


def test_as_many_requests_as_workers_run_at_once_and_no_more(pool: Pool) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(pool.run, {"do": "hang", "seconds": 0.2}) for _ in range(6)]
        workers = {each.result().content["pid"] for each in asked}
    assert len(workers) == 2
    assert time.monotonic() - started >= 0.6


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"do": "hang"}, "took longer than 0.2 s"),
        ({"do": "segfault"}, "its worker process died (signal 11, SIGSEGV)"),
        ({"do": "killed"}, "its worker process died (signal 9, SIGKILL)"),
        ({"do": "leave"}, "its worker process ended without an answer (exit status 7)"),
        ({"do": "fail"}, "could not be judged (ZeroDivisionError: by nothing)"),
    ],
    ids=lambda value: value["do"] if isinstance(value, dict) else "",
)
def test_what_goes_wrong_is_said_and_the_next_request_does_not_notice(
    pool: Pool, request_: dict[str, object], reason: str
) -> None:
    with pytest.raises(WorkerError) as caught:
        pool.run(request_, timeout=0.2 if request_["do"] == "hang" else 600)
    assert str(caught.value) == reason
    assert isinstance(caught.value, WorkerTimeoutError) == (request_["do"] == "hang")
    assert pool.run({"do": "echo", "text": "on"}).content["text"] == "on"


def test_a_message_deeper_than_recursion_goes_is_no_message() -> None:
    ours, theirs = Pipe()
    with ours, theirs:
        text = b'{"content":' + b"[" * 100_000
        sender = threading.Thread(target=theirs.send_bytes, args=(text,))
        sender.start()
        with pytest.raises(ValueError, match="invalid message"):
            receive(ours)
        sender.join()


@pytest.mark.parametrize("header", [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff" + b"\x7f" * 8])
def test_a_message_that_claims_more_than_it_may_is_not_waited_for(header: bytes) -> None:
    ours, theirs = Pipe()
    with ours, theirs:
        os.write(theirs.fileno(), header)
        with pytest.raises(OSError, match="length"):
            receive(ours)


def test_a_worker_that_says_half_a_message_is_late_and_no_riddle(pool: Pool) -> None:
    with pytest.raises(WorkerTimeoutError):
        pool.run({"do": "half a message"}, timeout=0.3)
    assert pool.run({"do": "echo", "text": "on"}).content["text"] == "on"


@LINUX
@pytest.mark.usefixtures("workers_of_their_own")
def test_memory_is_bounded_and_its_want_is_said() -> None:
    with Pool(TRICKS, workers=1, memory=2**28) as pool:
        assert pool.run({"do": "eat", "bytes": 2**27}).content == {"bytes": 2**27}
        with pytest.raises(
            WorkerError, match=r"more memory than the limit of 0\.2 GiB; .* allow more memory"
        ):
            pool.run({"do": "eat", "bytes": 2**29})
        assert pool.run({"do": "echo"}).content


def test_a_worker_that_hangs_is_gone_afterwards(pool: Pool) -> None:
    worker = pool.run({"do": "echo"}).content["pid"]
    with pytest.raises(WorkerError):
        pool.run({"do": "hang"}, timeout=0.1)
    assert not is_alive(worker)


def test_what_a_worker_died_of_by_chance_is_tried_once_more(pool: Pool, tmp_path: Path) -> None:
    assert pool.run({"do": "die once", "mark": str(tmp_path / "mark")}).content == {"lives": True}


def test_one_death_disturbs_no_request_beside_it(pool: Pool) -> None:
    with ThreadPoolExecutor(2) as threads:
        long = threads.submit(pool.run, {"do": "hang", "seconds": 0.5})
        for _ in range(3):
            with pytest.raises(WorkerError):
                pool.run({"do": "segfault"})
        assert long.result().content["pid"]


@LINUX
@pytest.mark.usefixtures("workers_of_their_own")
def test_a_worker_cannot_write_to_a_file_or_to_the_terminal(
    pool: Pool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WorkerError, match="File too large"):
        pool.run({"do": "write", "path": str(tmp_path / "evil")})
    assert not (tmp_path / "evil").stat().st_size
    assert pool.run({"do": "print"}).content == {"written": 10}
    assert capfd.readouterr() == ("", "")


@LINUX
@pytest.mark.usefixtures("workers_of_their_own")
def test_when_the_fork_server_is_killed_its_workers_end_and_another_takes_its_place(
    pool: Pool,
) -> None:
    worker = pool.run({"do": "echo"}).content["pid"]
    os.kill(pool.facts["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(worker))
    assert pool.run({"do": "echo"}).content["pid"] != worker


@pytest.mark.usefixtures("workers_of_their_own")
def test_what_cannot_be_loaded_is_said_as_the_loader_said_it() -> None:
    with Pool("scanning_workers:refuse") as pool:
        with pytest.raises(BundleError, match="this one: no bundle at all"):
            _ = pool.facts
        with pytest.raises(BundleError):
            pool.run({})


@pytest.mark.usefixtures("workers_of_their_own")
def test_a_file_that_a_loader_refuses_is_named() -> None:
    with (
        Pool("scanning_workers:refuse_file") as pool,
        pytest.raises(TruncatedImageError, match=r"^this one: ends too early$") as raised,
    ):
        _ = pool.facts
    assert raised.value.reason == "ends too early"


def test_a_loader_that_is_not_there_is_no_riddle() -> None:
    with Pool("scanning_workers:nothing") as pool, pytest.raises(RunError, match="nothing"):
        _ = pool.facts


@pytest.mark.usefixtures("workers_of_their_own")
def test_a_file_of_a_modules_name_in_this_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "torch", "numpy", "socket", "trueshot"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run by a file')")
    monkeypatch.chdir(tmp_path)
    with Pool(TRICKS, workers=1) as pool:
        assert pool.run({"do": "echo"}).content


@pytest.mark.usefixtures("workers_of_their_own")
def test_closing_ends_all_processes_and_frees_who_waits() -> None:
    pool = Pool(TRICKS, workers=2)
    fork_server = pool.facts["pid"]
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(pool.run, {"do": "hang"})
        worker = pool.run({"do": "echo"}).content["pid"]
        pool.close()
        with pytest.raises(RunError, match="closed"):
            waits.result()
    with pytest.raises(RunError, match="closed"):
        pool.run({"do": "echo"})
    assert not is_alive(fork_server)
    assert not is_alive(worker)


@pytest.mark.usefixtures("workers_of_their_own")
def test_a_pool_that_is_closed_at_once_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueshot.engines.fork_server._SECONDS_TO_END", None)  # nothing is forced
    pool = Pool(TRICKS)
    process = pool._fork_server._process
    pool.close()
    assert process.returncode is not None


@LINUX
def test_nobody_is_left_when_the_main_process_is_killed() -> None:
    program = (
        "import threading; from trueshot.engines.pool import Pool\n"
        "pool = Pool('scanning_workers:tricks', workers=2)\n"
        "print(pool.facts['pid'], pool.run({'do': 'echo'}).content['pid'], flush=True)\n"
        "pool.run({'do': 'hang'}, timeout=600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as main:
        assert main.stdout is not None
        family = [int(number) for number in main.stdout.readline().split()]
        assert len(family) == 2
        assert all(map(is_alive, family))
        main.kill()
    wait_until(lambda: not any(map(is_alive, family)))


@LINUX
@pytest.mark.parametrize("moment", ["before it runs", "while it loads"])
def test_nobody_is_left_when_the_main_process_is_killed_at_start(
    tmp_path: Path, moment: str
) -> None:
    mark = tmp_path / "loading"
    program = (
        "import os, signal, sys, time; from trueshot.engines import fork_server\n"
        "server = fork_server.ForkServer('scanning_workers:slow', {'mark': sys.argv[1]}, None)\n"
        "print(server._process.pid, flush=True)\n"
        "while sys.argv[2] == 'while it loads' and not os.path.exists(sys.argv[1]):\n"
        "    time.sleep(0.01)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", program, str(mark), moment]
    said = subprocess.run(command, capture_output=True, timeout=HANGS)
    assert said.returncode == -signal.SIGKILL
    wait_until(lambda: not is_alive(int(said.stdout)))
