"""The page in a real browser: drop, verdict, slider, report; nothing comes from elsewhere."""

from __future__ import annotations

import csv
import fnmatch
import io
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import pytest
from chromium import CHROMIUM, Page, chromium
from conftest import photo_pixels
from PIL import Image
from web_service import (
    LOADER,
    Served,
    photograph,
    real_service,
    served,
    small_bundle,
    small_bundles,
)

from trueshot.card import Measurement, Rate
from trueshot.files import sanitize_unique
from trueshot.scanning.verdict import COLUMNS

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "src" / "trueshot" / "web"
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: install Debian's package chromium"
)
AXE = Path(axe_core_python.__file__).parent / "axe.min.js"
STATES = ("after", "before")
IDLE = "[...document.querySelectorAll('.side')].every(s => s.getAttribute('aria-busy') == 'false')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Served]:
    with real_service(folder, queue=16) as running:
        yield running


@pytest.fixture(scope="module")
def new_page() -> Iterator[Callable[[], Page]]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(service: Served, new_page: Callable[[], Page]) -> Page:
    opened = new_page()
    opened.show(1280, 900)
    opened.open(service.address)
    return opened


def text(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector({selector!r}).innerText"))


def fixed(score: float) -> str:
    return f"{score:.2f}".replace("-", "\N{MINUS SIGN}")


def judged(page: Page, count: int) -> None:
    said = "document.querySelectorAll('.list .said:not(.pending)').length"
    page.wait(f"{said} == {count}")


def stands_still(selector: str) -> str:
    """An expression: nothing that came in meanwhile moves an element away from a click."""
    place = f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())"
    later = f"setTimeout(() => done(before == {place}), 300)"
    return f"new Promise(done => {{ const before = {place}; {later} }})"


def assert_clean(page: Page, service: Served) -> None:
    """It asked nobody else, and nothing was complained of."""
    assert page.complaints == []
    allowed = (service.address, "data:image/", f"blob:{service.address}")
    assert [address[:80] for address in page.asked if not address.startswith(allowed)] == []


@NEEDS_CHROMIUM
def test_photographs_are_dropped_and_get_the_verdicts_of_the_service(
    page: Page, service: Served, folder: Path
) -> None:
    good = [photograph(folder, seed, seed % 2 == 0) for seed in (11, 12)]
    bad = folder / "<img src=a onerror=alert(1)>.png"
    bad.write_bytes(b"no image at all")
    page.drop([*good, bad], "#drop")
    judged(page, 3)
    words = page.run("[...document.querySelectorAll('.said')].map(s => s.innerText)")
    answers = [service.send(path.read_bytes(), pictures="true").json() for path in good]
    verdicts = [answer["verdicts"][0] for answer in answers]
    assert words == [*(each["verdict"] for each in verdicts), "error"]
    assert bad.name in text(page, "#list")
    first = verdicts[0]
    assert text(page, "#verdict").lower() == first["verdict"]
    assert text(page, "#words") == first["in_words"]
    assert len(page.run("[...document.querySelectorAll('#propositions li')].map(l => 1)")) == 2
    assert first["sha256"] in text(page, "#facts")
    assert "16 of 32" not in text(page, "#facts")
    page.wait("document.getElementById('overlay').width > 1000")
    assert page.run("document.getElementById('key-crop-seen').naturalWidth") in (30, 32)
    page.click("input[value=photograph] + span")
    page.wait("document.getElementById('overlay').hidden")
    page.click(".list li:nth-child(3) .pick")
    assert "convert it to one of JPEG, PNG" in text(page, "#reason")
    assert "Nothing in this file can be attacked" in text(
        page, ".side[data-detector=robust] .outcome"
    )
    page.wait(stands_still(".list li:nth-child(3) .remove"))
    page.click(".list li:nth-child(3) .remove")
    page.wait("document.querySelectorAll('.list li').length == 2")
    assert_clean(page, service)


@NEEDS_CHROMIUM
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photograph_that_lies_on_its_side_is_upright_with_its_evidence_over_it(
    page: Page, service: Served, folder: Path, kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = folder / f"lying.{kind}"
    Image.fromarray(photo_pixels(21, True, 160)[:96]).save(path, kind, exif=exif)
    page.drop([path], "#drop")
    judged(page, 1)
    page.wait("document.getElementById('overlay').width > 500")
    for place in ("overlay", "photo"):
        size = [f"document.getElementById('{place}').client{side}" for side in ("Width", "Height")]
        width, height = page.run(f"[{', '.join(size)}]")
        assert width / height == pytest.approx(96 / 160, abs=0.03), place
    assert page.run("document.getElementById('photo').naturalWidth") == 96
    assert "96 × 160" in text(page, "#facts")
    assert_clean(page, service)


@NEEDS_CHROMIUM
def test_the_slider_attacks_both_detectors_and_the_latest_wish_wins(
    page: Page, service: Served, folder: Path
) -> None:
    path = photograph(folder, 13, True)
    page.drop([path], "#drop")
    judged(page, 1)
    page.run("document.getElementById('budget').focus()")
    page.run("document.getElementById('attack').scrollIntoView()")
    page.press("End")
    page.press("ArrowLeft", times=11)
    assert text(page, "#budget-shown") == "4"
    page.click("input[value=pgd] + span")
    page.wait(f"{IDLE} && document.querySelectorAll('.curve .now').length == 2")
    data = path.read_bytes()
    shown = {}
    for name in ("accurate", "robust"):
        said = service.shared.post(
            f"/v1/attacks?method=pgd&budget=4&detector={name}",
            content=data,
            headers={"content-type": "image/png"},
        ).json()
        side = f".side[data-detector={name}]"
        page.wait(f"document.querySelector('{side} .gain').innerText.includes('{said['gain']}')")
        shown[name] = text(page, f"{side} .row-after")
        assert shown[name].split()[1:3] == [
            said["after"]["verdict"],
            fixed(said["after"]["score"]),
        ]
        assert fixed(said["before"]["score"]) in text(page, f"{side} .row-before")
        assert f"away from “{said['away_from']}”" in text(page, f"{side} .facts")
        assert f"{said['decibels']:.1f} dB" in text(page, f"{side} .facts")
        source = page.run(f"document.querySelector('{side} img.after').src")
        assert source == said["pictures"]["after"] != said["pictures"]["before"]
    page.run("document.getElementById('budget').focus()")
    page.press("Home")
    page.wait(f"{IDLE} && document.getElementById('budget-shown').innerText == '0'")
    for name, before in shown.items():
        side = f".side[data-detector={name}]"
        page.wait(f"document.querySelector('{side} .outcome').innerText.startsWith('Stays')")
        assert text(page, f"{side} .row-after") != before
        after, first = (page.run(f"document.querySelector('{side} img.{w}').src") for w in STATES)
        assert after == first
    page.wait("document.querySelectorAll('.curve .line').length == 2")
    page.wait("document.getElementById('attack-status').textContent.includes('ε = 0.')")
    assert_clean(page, service)


@NEEDS_CHROMIUM
def test_the_report_is_downloaded_and_a_file_can_be_chosen_instead(
    page: Page, service: Served, folder: Path
) -> None:
    downloads = folder / "downloads"
    page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
    root = page.command("DOM.getDocument")["root"]["nodeId"]
    node = page.command("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
    path = photograph(folder, 14, False)
    page.command("DOM.setFileInputFiles", nodeId=node, files=[str(path)])
    judged(page, 1)
    page.click("#report")
    page.wait("document.getElementById('status').innerText == 'the report is ready'")
    file = downloads / "trueshot-report.html"
    for _ in range(200):
        if not file.exists():
            page.run("new Promise(done => setTimeout(done, 50))")
    assert path.name in file.read_text("utf-8")
    assert_clean(page, service)


@NEEDS_CHROMIUM
def test_the_page_fits_a_phone_and_a_desk_and_is_dark_where_that_is_wanted(
    page: Page, folder: Path
) -> None:
    page.drop([photograph(folder, seed) for seed in (15, 16)], "#drop")
    judged(page, 2)
    page.run("document.getElementById('attack').scrollIntoView()")
    page.wait(IDLE)
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            page.show(width, 900, scheme)
            wide, over, ground = page.run(
                "[document.documentElement.scrollWidth, [...document.querySelectorAll('body *')]"
                ".filter(e => !e.closest('.unseen, svg') && e.getBoundingClientRect().right > "
                "innerWidth + 1).length, getComputedStyle(document.body).backgroundColor]"
            )
            assert wide <= width
            assert over == 0
            levels = [int(number) for number in re.findall(r"\d+", ground)[:3]]
            assert (sum(levels) > 600) == (scheme == "light")


@NEEDS_CHROMIUM
def test_everything_that_can_be_used_has_a_name_and_can_be_reached_by_keys(
    page: Page, folder: Path
) -> None:
    page.drop([photograph(folder, 17)], "#drop")
    judged(page, 1)
    page.run("document.getElementById('attack').scrollIntoView()")
    page.wait(IDLE)
    tree = page.command("Accessibility.getFullAXTree")["nodes"]
    named: dict[str, list[str]] = {}
    for node in tree:
        if not node.get("ignored"):
            role = node.get("role", {}).get("value", "")
            named.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    for role in ("button", "radio", "slider", "image", "img", "link", "radiogroup", "heading"):
        assert "" not in named.get(role, []), role
    assert len(named["radio"]) == 7
    assert len(named["slider"]) == 1
    page.run("document.body.focus(); scrollTo(0, 0)")
    reached = set()
    for _ in range(30):
        page.press("Tab")
        reached.add(page.run("document.activeElement.id || document.activeElement.className"))
    assert {"files", "report", "as-csv", "as-json", "clear", "pick", "remove", "budget"} <= reached


def downloaded(page: Page, file: Path) -> bytes:
    """A file that the browser has saved."""
    while not file.exists():  # it is given its name once it is whole
        page.run("new Promise(done => setTimeout(done, 50))")
    return file.read_bytes()


@NEEDS_CHROMIUM
def test_results_are_saved_as_csv_and_json_as_a_scan_writes_them(
    page: Page, service: Served, folder: Path
) -> None:
    place = folder / "saved"
    page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(place))
    good = photograph(folder, 21, True)
    formula = folder / '=1+"2",Grüße.png'
    formula.write_bytes(photograph(folder, 22).read_bytes())
    page.drop([good, formula], "#drop")
    judged(page, 2)
    page.click("#as-json")
    records = json.loads(downloaded(page, place / "trueshot-results.json"))
    assert [list(each) for each in records] == [list(COLUMNS)] * 2
    answer = service.send(good.read_bytes()).json()["verdicts"][0]
    for name in ("verdict", "log10_lr", "score", "sha256", "notes", "detector"):
        assert records[0][name] == answer[name]
    assert [each["file"] for each in records] == [good.name, formula.name]
    page.click("#as-csv")
    text = downloaded(page, place / "trueshot-results.csv")
    assert text.startswith(b"\xef\xbb\xbf")  # for Excel
    rows = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline="")))
    assert [row["file"] for row in rows] == [good.name, f"'{formula.name}"]
    assert float(rows[0]["score"]) == answer["score"]
    assert set(rows[0]) == set(COLUMNS)
    hostile = (
        "a.png",
        "a\\b.png",
        "\x1b[2J\\.png",
        "a\n\t\r\x9b",
        "\u202egpj.exe",
        "\u200c\u2028",
        r"\x1b",
    )
    for name in (*hostile, "\U000e0041.png", "日本 語\u00a0é.png"):
        assert page.run(f"printable({json.dumps(name)})") == sanitize_unique(name)
    assert_clean(page, service)


@NEEDS_CHROMIUM
def test_more_photographs_than_a_request_holds_get_reports_in_parts(
    new_page: Callable[[], Page], folder: Path
) -> None:
    with served(small_bundles(folder), LOADER, queue=16, max_files=2) as service:
        page = new_page()
        page.show(1280, 900)
        page.open(service.address)
        paths = [photograph(folder, seed) for seed in range(31, 36)]
        page.drop(paths, "#drop")
        judged(page, 5)
        page.click("#report")
        page.wait("document.getElementById('status').innerText.startsWith('3 reports are ready')")
        links = "[...document.querySelectorAll('#reports a')]"
        names = page.run(f"{links}.map(a => a.download)")
        assert names == [f"trueshot-report-{n}-of-3.html" for n in (1, 2, 3)]
        place = folder / "parts"
        page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(place))
        texts = []
        for number, name in enumerate(names, start=1):
            page.click(f"#reports li:nth-child({number}) a")
            texts.append(downloaded(page, place / name).decode("utf-8"))
        for number, path in enumerate(paths):
            assert [path.name in each for each in texts] == [
                part == number // 2 for part in range(3)
            ]
        assert page.complaints == []


@NEEDS_CHROMIUM
def test_what_is_said_while_one_waits_goes_when_there_is_more_to_say(
    page: Page, folder: Path
) -> None:
    page.drop([photograph(folder, 41)], "#drop")
    outcome = "document.querySelector('.side .outcome').innerText"
    assert not str(page.run(outcome)).endswith(("….", "..", " …."))
    judged(page, 1)  # the attack is out of sight, and does not begin
    page.wait(f"!{outcome}.startsWith('Being judged')")


@NEEDS_CHROMIUM
def test_error_rates_are_shown_for_the_detector_that_judges(
    new_page: Callable[[], Page], folder: Path
) -> None:
    rate = Rate(value=0.02, low=0.01, high=0.05, count=2, total=100)
    found = Measurement(kind="clean", name="held out", bpcer=rate, apcer=rate, photographs=200)
    bundles = (
        small_bundle(folder / "measured.safetensors", 1, measured=(found,)),
        small_bundle(folder / "unmeasured.safetensors", 2),
    )
    with served(bundles, LOADER) as service:
        page = new_page()
        page.show(1280, 900)
        page.open(service.address)
        page.drop([photograph(folder, 42)], "#drop")
        judged(page, 1)
        said = text(page, ".rates:not([hidden])")
        assert "calls 2.0 % [1.0, 5.0] of originals recaptured" in said
        assert "held out" in text(page, "#rates-accurate")
        page.click("input[value=robust] + span")
        page.wait("document.querySelector('.rates:not([hidden])').dataset.detector == 'robust'")
        assert "The error rates of this detector are unknown" in text(page, ".rates:not([hidden])")
        assert "Unknown: the card states none" in text(page, "#rates-robust")


@NEEDS_CHROMIUM
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_shuts_anybody_out(page: Page, folder: Path, scheme: str) -> None:
    bad = folder / "bad.png"
    bad.write_bytes(b"no image")
    page.show(1280, 900, scheme)
    page.run(f"{AXE.read_text('utf-8')}\n;1")
    for state in ("empty", "judged", "attacked"):
        if state == "judged":
            page.drop([photograph(folder, 51), bad], "#drop")
            judged(page, 2)
        if state == "attacked":
            page.run("document.getElementById('attack').scrollIntoView()")
            page.wait(f"{IDLE} && document.querySelectorAll('.curve .now').length == 2")
        found = page.run(
            "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map("
            "each => `${each.id}: ${each.nodes.map(node => node.target.join(' ')).join(', ')}`))"
        )
        assert found == [], state


def test_the_page_holds_no_script_style_or_address_of_its_own(service: Served) -> None:
    html = service.shared.get("/").text
    assert not re.search(r"<style|style=|<script(?! src=\"/static/)|\son\w+=|javascript:", html)
    assert not re.search(r"(?:src|href)=\"(?!/|#)", html)
    script = (WEB / "static" / "page.js").read_text("utf-8")
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in script
    addresses = re.findall(r"https?://[^\s\"'`)]+", script + html)
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}
    assert "Never trained." in html


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG 2 defines it."""
    levels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def mix(colour: str, ground: str, opacity: float) -> str:
    """What is seen of a colour laid over another."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(ground[1:]), strict=True)
    return "#" + bytes(round(opacity * over + (1 - opacity) * under) for over, under in pairs).hex()


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground_in_light_and_dark(scheme: int) -> None:
    css = (WEB / "static" / "page.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-fA-F]{6});", blocks[scheme]))
    for ground in ("paper", "panel"):
        for ink in ("ink", "soft", "accent", "class-0", "other", "undecided", "error"):
            dark, light = sorted(luminance(colours[name]) for name in (ground, ink))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {ground}"
    for ink in ("class-0", "other"):  # words on the bands of the drawings
        opacity = float(re.search(rf"zone-{ink} .*?opacity: ([\d.]+)", css)[1])  # type: ignore[index]
        mixed = mix(colours[ink], colours["paper"], opacity)
        dark, light = sorted((luminance(mixed), luminance(colours[ink])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on its band"


def test_templates_and_static_files_are_part_of_the_package() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    globs = project["tool"]["setuptools"]["package-data"]["trueshot"]
    files = [*(WEB / "static").iterdir(), *(WEB / "templates").iterdir()]
    assert len(files) >= 4
    for path in files:
        name = path.relative_to(ROOT / "src" / "trueshot").as_posix()
        assert any(fnmatch.fnmatch(name, glob) for glob in globs), name
