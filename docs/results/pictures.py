"""Take screenshots of the scan report and of the web page: scan-report.png, service.png.

    trueshot stage --photos PHOTOS --native --megapixels 2 --procedural 1 --per-part 0 0 6 \\
        --in-turn --seed 5 --out STAGED
    python docs/results/pictures.py STAGED

Only photographs of procedural scenes are shown. Needs Chromium and, like the tests, websockets.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))

from chromium import Page, chromium  # noqa: E402

WIDTH, HEIGHT = 1280, 2480
SHOWN = "laptop"  # the medium in the photograph shown
LEFT_OUT = ["case", "request", "summary", "files"]  # sections of the report that are left out
IDLE = "[...document.querySelectorAll('.side')].every(s => s.getAttribute('aria-busy') == 'false')"
JUDGED = "document.querySelectorAll('.list .said:not(.pending)').length"


def main(staged: Path) -> None:
    with (staged / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row["scene"].startswith("photo:")]
    with tempfile.TemporaryDirectory() as folder, chromium() as new_page:
        shown = Path(folder, "photographs")
        shown.mkdir()
        for row in rows:
            shutil.copy(staged / row["path"], shown)
        (name,) = [Path(row["path"]).name for row in rows if row["kind"] == SHOWN]
        report(new_page(), shown, name, Path(folder))
        service(new_page(), shown / name)


def report(page: Page, photographs: Path, name: str, folder: Path) -> None:
    written = folder / "report.html"
    command = ["scan", str(photographs), "--out", str(folder / "results.jsonl")]
    trueshot(*command, "--report", str(written))
    page.show(WIDTH, HEIGHT)
    page.open(written.as_uri())
    page.run(f"for (const id of {LEFT_OUT}) document.getElementById(id)?.remove()")
    cards = "[...document.querySelectorAll('#images article')]"
    page.run(f"{cards}.forEach(a => a.dataset.find.includes({name!r}) || a.remove())")
    page.run(f"{cards}[0].querySelector('details').open = true")
    page.run("new Promise(done => setTimeout(done, 1000))")
    (HERE / "scan-report.png").write_bytes(page.picture())


def service(page: Page, photograph: Path) -> None:
    port = "8765"
    server = subprocess.Popen([sys.executable, "-m", "trueshot", "serve", "--port", port])
    try:
        page.show(WIDTH, HEIGHT)
        opened(page, f"http://127.0.0.1:{port}/")
        page.drop([photograph], "#drop")
        page.wait(f"{JUDGED} == 1")
        page.run("document.getElementById('attack').scrollIntoView()")
        page.click("input[value=pgd] + span")
        page.run("document.getElementById('budget').focus()")
        page.press("Home")
        page.press("ArrowRight", times=3)
        page.wait(f"{IDLE} && document.getElementById('budget-shown').innerText == '3'")
        page.wait("document.querySelectorAll('.curve .now').length == 2")
        page.run("scrollTo(0, 0)")
        (HERE / "service.png").write_bytes(page.picture())
        page.command("Page.navigate", url="about:blank")  # close all connections to the service
    finally:
        server.terminate()
        server.wait()


def opened(page: Page, address: str) -> None:
    """Open the page of a service that may still be starting."""
    while True:
        page.open(address)
        if page.run("document.getElementById('drop') !== null"):
            return


def trueshot(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "trueshot", *arguments])
    if done.returncode not in (0, 1):  # 1: something is not original
        sys.exit(f"trueshot {arguments[0]} ended with {done.returncode}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
