"""The page of the review in a real browser: it is read, judged and corrected, and nothing that was decided is lost."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from edf_bytes import EdfFile
from review_files import write_result

from restcli import annotate
from restcli.events import Event
from restcli.review.desk import open_desk
from restcli.review.entries import Entry, parse_entry
from restcli.review.server import Server
from restcli.review.verdicts import review_of
from restcli.signal.montage import ELECTRODES_19

MEASURED = re.compile(r"^[\d.]+ s · [\d.]+ Hz · \d+ µV$")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return the system's Chromium; Playwright downloads none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (pip install '.[dev]')")
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    with playwright.sync_playwright() as control:
        browser = control.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, toy_weights: Path) -> Path:
    return write_result(tmp_path_factory.mktemp("review"), toy_weights).parent


@pytest.fixture
def journal(folder: Path) -> Path:
    """Return the path of the journal, which does not exist yet."""
    path = folder / "night_review.jsonl"
    path.unlink(missing_ok=True)
    return path


@pytest.fixture
def desk(folder: Path, journal: Path) -> Iterator[Server]:
    with serving(Server(open_desk({"<b>night": folder / "night_run.json"}, reviewer="r1", blind=False))) as server:
        yield server


@pytest.fixture
def window(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens an address in a window of its own; all it asks for and complains of is watched."""
    contexts: list[BrowserContext] = []
    foreign: list[str] = []
    complaints: list[str] = []

    def open_window(address: str, *, width: int = 1280, **options: Any) -> Page:
        contexts.append(chromium.new_context(viewport={"width": width, "height": 800}, **options))
        page = contexts[-1].new_page()
        host = address.split("/?")[0]
        page.on("request", lambda request: None if request.url.startswith(host) else foreign.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        settle(page)
        return page

    open_window.complaints = complaints  # type: ignore[attr-defined]
    yield open_window
    for context in contexts:
        context.close()
    assert foreign == []
    assert complaints == []


def settle(page: Page) -> None:
    """Wait until a page is on the screen and everything is saved."""
    page.wait_for_function(
        "() => { const box = document.querySelector('#traces'); return box.dataset.shown && box.ariaBusy !== 'true'"
        " && document.querySelector('#saved').dataset.state === 'saved'; }"
    )


def shows(page: Page, selector: str, words: str | re.Pattern[str] | list[re.Pattern[str]]) -> None:
    """Wait until a part of the page, or each of several alike, shows these words."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(words, use_inner_text=True, timeout=30_000)


def starts_at(page: Page, start: float) -> None:
    """Wait until the page that begins there is on the screen."""
    page.wait_for_function(
        "start => Math.abs(document.querySelector('#traces').dataset.start - start) < 0.01", arg=start
    )


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def ink(page: Page, left: float, right: float, *, top: float = 40, bottom: float = -40, layer: int = 0) -> int:
    """Count pixels of traces and words, darker than grid and hatching, between two shares of a canvas."""
    return int(
        page.evaluate(
            """([left, right, top, bottom, layer]) => {
            const canvas = document.querySelectorAll('#traces canvas')[layer];
            const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
            pen.drawImage(canvas, 0, 0);
            const [x, w] = [canvas.width * left, canvas.width * (right - left)].map(Math.round);
            const y = top < 0 ? canvas.height + top : top;
            const { data } = pen.getImageData(x, y, w, (bottom <= 0 ? canvas.height + bottom : bottom) - y);
            let n = 0;
            for (let k = 0; k < data.length; k += 4)
              n += data[k] + data[k + 1] + data[k + 2] < 300 && data[k + 3] > 200;
            return n; }""",
            [left, right, top, bottom, layer],
        )
    )


def x_of(page: Page, time: float) -> float:
    """Return where a time of the page is, in pixels of the window, by the axis of the traces."""
    start, gutter, margin = float(page.get_attribute("#traces", "data-start") or 0), 78, 46
    box = page.locator("#traces canvas").first.bounding_box()
    assert box is not None
    return box["x"] + gutter + (time - start) / 10 * (box["width"] - gutter - margin)


def drag(page: Page, start: float, stop: float, *, rise: float = 0) -> None:
    """Drag across the traces from a time to another."""
    box = page.locator("#traces").bounding_box()
    assert box is not None
    y = box["y"] + 200
    page.mouse.move(x_of(page, start), y)
    page.mouse.down()
    page.mouse.move(x_of(page, stop), y - rise, steps=4)
    page.mouse.up()


def test_a_page_is_read_with_the_keys(desk: Server, window: Callable[..., Page]) -> None:
    page = window(desk.address)
    shows(page, "#name", "<b>night")
    assert "token" not in page.url
    starts_at(page, 38)  # the first event begins at 40 s
    page.locator("#event-facts", has_text="onset: ").wait_for()
    assert ink(page, 0.2, 0.8) > 5000
    assert ink(page, 0, 1, top=-14, bottom=0) > 40, "times below the page"
    assert ink(page, 0.96, 1) > 50, "the scale bar and its unit"
    assert ink(page, 0.2, 0.6, top=4, bottom=16, layer=1) > 50, "the name of the event"
    for key, start in (
        ("PageDown", 48),
        ("ArrowRight", 53),
        ("ArrowLeft", 48),
        ("PageUp", 38),
        ("Shift+ArrowRight", 39),
    ):
        press(page, key)
        starts_at(page, start)
    press(page, "End")
    starts_at(page, 290)
    press(page, "Home")
    starts_at(page, 0)
    before = page.locator("#sensitivity").input_value()
    press(page, "ArrowDown")
    page.wait_for_function("before => Number(document.querySelector('#sensitivity').value) > before", arg=int(before))
    for name, value in (("montage", "average"), ("page", "20"), ("high", "1"), ("low", "30"), ("notch", "50")):
        page.select_option(f"#{name}", value)
    page.wait_for_selector("#traces[data-shown*='seconds=20'][data-shown*='montage=average'][data-shown*='notch=50']")
    shows(page, "#facts", re.compile("1 Hz to 30 Hz"))
    press(page, "g")
    page.keyboard.type("2:05")
    press(page, "Enter")
    starts_at(page, 125)
    for field, wrong in (("elapsed", "0:05:01"), ("clock", "12:00:00"), ("elapsed", "soon")):
        press(page, "g")
        page.fill(f"#goto-{field}", wrong)
        press(page, "Enter")
        shows(page, "#alarm", re.compile("no such time"))
        page.evaluate("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'Shift', bubbles: true }))")
        page.locator("#alarm").wait_for(state="hidden")  # the next key
    starts_at(page, 125)
    press(page, "?")
    shows(page, "#help-dialog", re.compile("next event"))
    press(page, "Escape")
    page.locator("#help-dialog").wait_for(state="hidden")
    page.locator("#strip").click(position={"x": 600, "y": 60})
    page.wait_for_function("() => Math.abs(document.querySelector('#traces').dataset.start - 125) > 20")


def test_each_event_is_judged_with_one_key_and_found_again(
    desk: Server, window: Callable[..., Page], journal: Path
) -> None:
    page = window(desk.address)
    press(page, "a", "n", "Shift+R")
    page.wait_for_function("() => document.querySelector('#event-title').innerText.startsWith('Event 3 of 3')")
    press(page, "u", "z", "c")
    page.keyboard.type("spikes <i>left</i>")
    press(page, "Enter", "t")
    page.select_option("#label", "sz_foc")
    page.select_option("#side", "left temporal")
    settle(page)
    entries = written(journal)
    assert [(entry["action"], entry["event"]) for entry in entries] == [
        ("accept", "e1"),
        ("reject", "e2"),
        ("unsure", "e3"),
        ("undo", ""),
        ("comment", "e3"),
        ("edit", "e3"),
        ("edit", "e3"),
    ]
    assert entries[3]["undoes"] == 3
    assert (entries[-1]["label"], entries[-1]["side"], entries[-1]["onset"]) == ("sz_foc", "left temporal", 250)
    page.reload()
    settle(page)
    shows(page, "#events button", [re.compile("^✓"), re.compile("^✗"), re.compile("^·.*left temporal", re.DOTALL)])
    shows(page, "#progress-words", "2 of 3 judged")
    page.select_option("#filter", "open")
    page.locator("#events button").click()
    shows(page, "#comments", "r1: spikes <i>left</i>")
    press(page, "d")
    page.locator("#read[aria-pressed='true']").wait_for()
    page.select_option("#filter", "all")
    page.select_option("#order", "confidence")
    shows(page, "#events button", [re.compile(at) for at in ("0:00:40", "0:04:10", "0:02:30")])


def test_caps_lock_and_other_alphabets_change_no_key(desk: Server, window: Callable[..., Page], journal: Path) -> None:
    page = window(desk.address)
    for place, key in ((2, {"key": "N", "code": "KeyN"}), (3, {"key": "т", "code": "KeyN"})):
        page.evaluate(
            "key => document.body.dispatchEvent(new KeyboardEvent('keydown', { ...key, bubbles: true }))", key
        )
        page.locator("#event-title", has_text=f"Event {place} of 3").wait_for()
    press(page, "Shift+ ")
    starts_at(page, 238)
    assert written(journal) == []


def test_a_held_key_judges_once_and_goes_on_paging(desk: Server, window: Callable[..., Page], journal: Path) -> None:
    page = window(desk.address)
    starts_at(page, 38)
    for key in ("PageDown", "a", "r", "z", "i", "Enter"):
        if key == "Enter":
            page.locator("#undo").focus()
        for _ in range(3):  # without a key up between them, all but the first are repeats
            page.keyboard.down(key)
        page.keyboard.up(key)
    page.locator("#add[aria-pressed='true']").wait_for()
    starts_at(page, 68)
    settle(page)
    assert [entry["action"] for entry in written(journal)] == ["accept", "reject", "undo", "undo"]


def test_the_page_shows_what_the_tables_will_hold(desk: Server, window: Callable[..., Page]) -> None:
    said: list[tuple[str, str, str, dict[str, Any]]] = [
        ("r1", "add", "a1", {"onset": 90, "stop": 95, "label": "sz", "side": "left"}),
        ("r1", "add", "a2", {"onset": 190, "stop": 195, "label": "sz"}),
        ("r2", "edit", "a1", {"onset": 91, "stop": 96, "label": "sz_foc"}),
        ("r2", "remove", "a2", {}),
        ("r2", "edit", "e1", {"onset": 11, "stop": 17, "side": "right"}),
        ("r1", "accept", "e2", {"onset": 41, "stop": 44}),
        ("r2", "reject", "e2", {}),
        ("r2", "accept", "a2", {"onset": 1, "stop": 2}),
        ("r1", "remove", "a1", {}),
        ("r1", "undo", "", {"undoes": 9}),
    ]
    entries = [
        Entry(seq, "t", who, "0" * 64, action, event, **more)
        for seq, (who, action, event, more) in enumerate(said, start=1)
    ]
    detected = {"e1": Event(10, 5), "e2": Event(40, 5)}
    review = review_of(entries, detected)
    tables = [(item.id, item.event.onset, item.event.stop, item.event.label) for item in review.items.values()]
    found = [
        {"id": name, "onset": each.onset, "stop": each.stop, "label": "sz", "side": ""}
        for name, each in detected.items()
    ]
    page = window(desk.address)
    shown = page.evaluate(
        "async ([found, entries]) => (await import('/page/journal.js')).reduce(found, entries, 'r1')",
        [found, [entry.to_dict() for entry in entries]],
    )
    assert [(each["id"], each["onset"], each["stop"], each["label"]) for each in shown] == sorted(
        tables, key=lambda row: row[1]
    )
    assert [each["side"] for each in shown] == [review.items[each["id"]].side for each in shown]
    assert [(each["verdict"], each["last"]) for each in shown] == [("", ""), ("accept", "reject"), ("accept", "accept")]


def test_the_lists_of_an_event_give_the_keys_back(desk: Server, window: Callable[..., Page], journal: Path) -> None:
    page = window(desk.address)
    press(page, "t", "ArrowDown", "ArrowDown")
    assert page.evaluate("document.activeElement.id") == "label"
    press(page, "Enter")
    assert page.evaluate("document.activeElement.id") == "traces"
    press(page, "s", "Home")
    assert page.locator("#side").input_value() == ""
    press(page, "a")
    page.select_option("#label", "sz_gen")
    assert page.evaluate("document.activeElement.id") == "traces"
    settle(page)
    entries = [parse_entry(entry, "journal") for entry in written(journal)]
    assert [(entry.action, entry.label, entry.side) for entry in entries] == [
        ("edit", "sz_foc", "left temporal"),
        ("edit", "sz_foc_a", "left temporal"),
        ("edit", "sz_foc_a", ""),
        ("accept", "sz_foc_a", ""),
        ("edit", "sz_gen", ""),
    ]
    assert review_of(entries, {"e1": Event(40, 20)}).items["e1"].side == ""


def test_onset_and_end_are_dragged_or_typed(desk: Server, window: Callable[..., Page], journal: Path) -> None:
    page = window(desk.address)
    starts_at(page, 38)
    drag(page, 40, 42)
    settle(page)
    assert written(journal)[-1]["onset"] == pytest.approx(42, abs=0.03)
    press(page, "e")
    page.locator("#stop").fill("0:00:58.5")
    press(page, "Enter", "o", "Shift+ArrowUp", "Enter")
    settle(page)
    assert (written(journal)[-1]["onset"], written(journal)[-1]["stop"]) == (pytest.approx(43, abs=0.03), 58.5)
    press(page, "e")
    page.locator("#stop").fill("0:00:01")
    press(page, "Enter")
    shows(page, "#alarm", re.compile("must be before the end"))
    assert len(written(journal)) == 3
    press(page, "z", "z", "z")
    page.wait_for_function("() => document.querySelector('#onset').value === '0:00:40.00'")


def test_what_was_missed_is_added(desk: Server, window: Callable[..., Page], journal: Path) -> None:
    page = window(desk.address + "#0/100")
    page.reload()
    starts_at(page, 100)
    press(page, "i")
    drag(page, 103, 106.5)
    press(page, "s")
    page.select_option("#side", "right")
    settle(page)
    added, edited = written(journal)
    assert (added["action"], added["event"], edited["event"], edited["side"]) == ("add", "a1", "a1", "right")
    assert (added["onset"], added["stop"]) == (pytest.approx(103, abs=0.03), pytest.approx(106.5, abs=0.03))
    shows(page, "#progress-words", "1 of 4 judged")
    page.locator("#traces").focus()
    press(page, "i", "i")
    settle(page)
    assert (written(journal)[-1]["onset"], written(journal)[-1]["stop"]) == (100, 110)
    press(page, "x")
    settle(page)
    assert written(journal)[-1]["action"] == "remove"
    shows(page, "#progress-words", "1 of 4 judged")


def test_amplitude_and_frequency_are_measured(desk: Server, window: Callable[..., Page], journal: Path) -> None:
    page = window(desk.address + "#0/100")
    page.reload()
    starts_at(page, 100)
    drag(page, 103, 103.5, rise=50)
    shows(page, "#facts", MEASURED)
    seconds, hertz, microvolts = map(float, re.findall(r"[\d.]+", page.locator("#facts").inner_text()))
    assert (seconds, hertz) == (pytest.approx(0.5, abs=0.02), pytest.approx(2, abs=0.1))
    per_mm = float(page.locator("#sensitivity").input_value())
    assert microvolts == pytest.approx(50 / (96 / 25.4) * per_mm, rel=0.05)
    press(page, "Escape", "m", "Shift+ArrowRight", "Shift+ArrowUp")
    page.locator("#measure[aria-pressed='true']").wait_for()
    shows(page, "#facts", MEASURED)
    press(page, "PageDown")
    starts_at(page, 110)
    page.locator("#measure[aria-pressed='false']").wait_for()  # what was measured is on the page before
    shows(page, "#facts", re.compile("negative up"))
    assert written(journal) == []


def test_a_calibrated_screen_shows_30_mm_a_second(desk: Server, window: Callable[..., Page]) -> None:
    page = window(desk.address)
    shows(page, "#facts", re.compile("not calibrated"))
    page.click("#calibrate")
    page.locator("#card-width").fill("428")  # 5 pixels a millimetre
    page.click("#calibrate-dialog button[value='save']")
    for _ in range(2):
        page.wait_for_selector("#traces[data-shown*='seconds=']:not([data-shown*='seconds=10'])")  # no longer 10 s
        plot = page.evaluate("document.querySelector('#traces').clientWidth") - 78 - 46
        seconds = float(re.findall(r"seconds=([\d.]+)", page.get_attribute("#traces", "data-shown") or "")[0])
        assert seconds == pytest.approx(plot / 150, abs=0.01)
        shows(page, "#facts", re.compile(r"30 mm/s$"))
        assert page.locator("#page").input_value() == "30mm"
        page.reload()
        settle(page)


@pytest.mark.slow
def test_a_failed_save_is_shown_and_tried_again(desk: Server, window: Callable[..., Page], journal: Path) -> None:
    page = window(desk.address)
    page.on("dialog", lambda dialog: dialog.accept())  # "leave the page?"

    fate = ["passes"]

    def answer(route: Route) -> None:
        if fate[0] == "passes":
            return route.continue_()
        if fate[0] == "answer is lost" and route.request.method == "POST":
            route.fetch()
        return route.abort()

    page.route("**/verdicts*", answer)
    page.goto(desk.address)  # a page loaded before may still send a request past the route
    settle(page)
    fate[0] = "is lost"
    press(page, "a")
    page.locator("#saved[data-state='failed']").wait_for()
    shows(page, "#alarm", re.compile("keep this window open"))
    assert written(journal) == []
    fate[0] = "answer is lost"
    page.reload()
    page.locator("#saved[data-state='failed']").wait_for()
    page.locator("#events button").first.filter(has_text="✓").wait_for()
    fate[0] = "passes"
    settle(page)
    page.locator("#alarm").wait_for(state="hidden")
    assert [(entry["action"], entry["event"]) for entry in written(journal)] == [("accept", "e1")]
    complaints = window.complaints  # type: ignore[attr-defined]
    assert complaints and all("ERR_FAILED" in each for each in complaints)
    complaints.clear()


@pytest.mark.slow
def test_two_windows_see_each_other_and_lose_nothing(desk: Server, window: Callable[..., Page], journal: Path) -> None:
    one, other = window(desk.address), window(desk.address)
    press(one, "a")
    settle(one)
    press(other, "n", "r")  # knows nothing of the first verdict yet
    settle(other)
    for page in (one, other):
        page.wait_for_function(
            "() => [...document.querySelectorAll('#events button')].map(row => row.innerText[0]).join('') === '✓✗·'"
        )
    assert [(entry["seq"], entry["event"]) for entry in written(journal)] == [(1, "e1"), (2, "e2")]
    complaints = window.complaints  # type: ignore[attr-defined]
    assert all("409" in each for each in complaints)
    complaints.clear()


def test_a_journal_that_is_deleted_meanwhile_is_noticed(
    desk: Server, window: Callable[..., Page], journal: Path
) -> None:
    page = window(desk.address)
    press(page, "a", "n", "r")
    settle(page)
    journal.unlink()
    press(page, "n", "u")
    shows(page, "#alarm", re.compile("deleted or edited the journal"))
    settle(page)
    shows(page, "#events button", [re.compile("^" + mark) for mark in ("·", "·", "[?]")])
    assert [(entry["seq"], entry["event"], entry["action"]) for entry in written(journal)] == [(1, "e3", "unsure")]
    page.locator("#alarm button").click()
    page.locator("#alarm").wait_for(state="hidden")
    window.complaints.clear()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_nothing_is_lost_when_the_server_is_killed(folder: Path, window: Callable[..., Page], journal: Path) -> None:
    def start(port: int) -> tuple[subprocess.Popen[str], str]:
        program = "from restcli.cli.app import main; main()"
        command = [sys.executable, "-c", program, "review", str(folder), "--no-browser", "--port", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    process, address = start(0)
    with process:
        page = window(address)
        page.on("dialog", lambda dialog: dialog.accept())
        press(page, "a")
        settle(page)
        process.kill()
    press(page, "n", "r")
    page.locator("#saved[data-state='failed']").wait_for()
    port = int(address.split(":")[2].split("/")[0])
    process, address = start(port)
    with process:
        page.wait_for_function("() => document.querySelector('#alarm').innerText.includes('printed last; retrying.')")
        page.goto(address)
        settle(page)
        shows(page, "#events button", [re.compile("^" + mark) for mark in "✓✗·"])
        page.close()
        process.kill()
    assert [(entry["action"], entry["event"]) for entry in written(journal)] == [("accept", "e1"), ("reject", "e2")]
    window.complaints.clear()  # type: ignore[attr-defined]


def test_verdicts_that_wait_are_sent_to_their_recording_whatever_its_place_in_the_queue(
    tmp_path: Path, toy_weights: Path, window: Callable[..., Page]
) -> None:
    reports = {name: write_result(tmp_path, toy_weights, name=name) for name in ("a", "b", "c")}

    def reading_room(*names: str, port: int = 0) -> Server:
        return Server(open_desk({name: reports[name] for name in names}, reviewer="r1", blind=False), port)

    with serving(reading_room("a", "b")) as server:
        page = window(server.address)
        page.on("dialog", lambda dialog: dialog.accept())
        press(page, "Shift+N")
        page.wait_for_function("() => document.querySelector('#name').innerText === 'b'")
        settle(page)
    press(page, "r")
    page.locator("#saved[data-state='failed']").wait_for()
    with serving(reading_room("c", "a", port=server.port)) as other:
        page.goto(other.address)
        shows(page, "#saved", "1 NOT SAVED")
        shows(page, "#alarm", re.compile("not listed here"))
    with serving(reading_room("c", "a", "b", port=server.port)) as again:
        page.goto(again.address)
        settle(page)
        shows(page, "#name", "c")
        page.close()
    assert [(entry["action"], entry["event"]) for entry in written(tmp_path / "b_review.jsonl")] == [("reject", "e1")]
    assert sorted(path.name for path in tmp_path.glob("*_review.jsonl")) == ["b_review.jsonl"]
    window.complaints.clear()  # type: ignore[attr-defined]


def test_gaps_are_drawn_as_gaps_and_said_in_words(
    tmp_path: Path, toy_weights: Path, window: Callable[..., Page]
) -> None:
    onsets = [f"+{second}" for second in (*range(20), *range(25, 45))]
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19]
    physical = [(-400, 400)] * 19
    EdfFile(labels, [200] * 19, 40, physical=physical, kind="EDF+D", onsets=onsets).write(tmp_path / "gap.edf")
    report = annotate(tmp_path / "gap.edf", weights=str(toy_weights), threshold=1.0).save(tmp_path, plot="none")[-1]
    with serving(Server(open_desk({"gap": report}, reviewer="r1", blind=False))) as server:
        page = window(server.address)
        page.goto(server.address + "#0/15")
        page.reload()
        starts_at(page, 15)
        left = 78 / 860  # of the canvas; the gap begins in the middle of the page
        assert ink(page, left, 0.4) > 2000
        assert ink(page, 0.55, 0.9, top=60) == 0
        assert ink(page, 0.55, 0.95, top=36, bottom=52) > 50, "words of their own, under those of what was not scored"
        shows(page, "#unscored", re.compile(r"0:00:20–0:00:25 not scored \(no signal: a gap"))
        page.locator("#traces[aria-label*='not scored']").wait_for()
        shows(page, "#events", "none")
        page.close()


def test_blind_readers_see_no_probability(folder: Path, journal: Path, window: Callable[..., Page]) -> None:
    with serving(Server(open_desk({"night": folder / "night_run.json"}, reviewer="r1", blind=True))) as server:
        page = window(server.address)
        shows(page, "#blind", "Blind reading: 3 events, 2 control stretches")
        page.locator("#events button").nth(3).wait_for()
        assert "%" not in page.locator("aside").inner_text()
        press(page, "a", "n", "r", "z")
        settle(page)
        assert [entry["action"] for entry in written(journal)] == ["accept", "reject", "undo"]
        page.close()


def test_the_queue_leads_through_an_archive_and_tables_are_written(
    tmp_path: Path, toy_weights: Path, window: Callable[..., Page]
) -> None:
    reports = {name: write_result(tmp_path, toy_weights, name=name, events=()) for name in ("a", "b")}
    reports["c"] = write_result(tmp_path, toy_weights, name="c")
    with serving(Server(open_desk(reports, reviewer="r1", blind=False))) as server:
        page = window(server.address)
        press(page, "Shift+N", "Shift+N")
        page.wait_for_function("() => document.querySelector('#name').innerText === 'c'")
        page.locator("#events button").first.wait_for()
        press(page, "a")
        settle(page)
        page.click("#apply")
        shows(page, "#applied", re.compile(r"^Written: c_events_reviewed\.tsv and \d+ more beside it$"))  # short
        assert (tmp_path / "c_events_reviewed.tsv").read_text().count("\n") == 2
        page.click("#queue summary")
        page.select_option("#queue-order", "sample")
        page.locator("#recordings button").first.click()
        page.wait_for_function("() => document.querySelector('#name').innerText === 'a'")
        page.locator("#traces").focus()
        press(page, "d")
        settle(page)
        assert written(tmp_path / "a_review.jsonl")[0]["action"] == "read"
        page.locator("#recordings button", has_text=re.compile("^a: no events.*read by r1")).wait_for()
        page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_page_fits_and_every_control_has_a_name(
    desk: Server, window: Callable[..., Page], width: int, scheme: str
) -> None:
    page = window(desk.address, width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, [tabindex]')].filter(each =>
        !each.ariaLabel && !each.innerText?.trim() && !each.closest('label')?.innerText.trim() && !each.hidden)
        .map(each => each.outerHTML)"""
    )
    assert nameless == []
    press(page, "n", "p")
    assert page.evaluate("scrollY") == 0, "the list scrolls, not the window"
    seen = set()
    for _ in range(40):
        press(page, "Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.verdict"))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(f"document.activeElement === document.body || {outline} !== 'none'")
    assert {"montage", "traces", "strip", "accept", "onset", "comment", "undo", "filter", "help"} <= seen
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")
