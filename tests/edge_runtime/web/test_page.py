"""The page in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.frames import CameraState, LiveReading, SourceStatus

playwright = pytest.importorskip("playwright.sync_api")

# A page on a busy machine takes its time; what never comes, comes not in this time either.
PATIENCE_MS = 30_000
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "has_touch": True,
    "is_mobile": True,
}


@pytest.fixture(scope="module")
def browser(require_tool: Callable[[str], str]) -> Iterator[Any]:
    chromium = require_tool("chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """``visit(client, …)`` opens a page; whatever a browser complains of fails the test."""
    contexts, complaints = [], []

    def opened(client: Any, **options: Any) -> Any:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type != "log" else 0)
        # A picture that never ends keeps the page from ever having loaded.
        page.goto(client.preview.invitation, wait_until="domcontentloaded")
        page.wait_for_selector("#live:not([hidden]), #no-camera:not([hidden])")
        return page

    yield opened
    for context in contexts:
        context.close()
    # A page that outlives its server misses it; all else is a fault of ours.
    assert not [said for said in complaints if "ERR_CONNECTION_REFUSED" not in said]


@contextmanager
def running_camera(client: Any, make_reading: Callable[..., LiveReading]) -> Iterator[None]:
    """Publishes frames of changing grey until the block ends."""
    stop = threading.Event()

    def run() -> None:
        number = 0
        while not stop.wait(0.05):
            grey = np.full((240, 320, 3), 40 + number * 20 % 200, np.uint8)
            client.preview.publish(make_reading(number, grey, text="42"))
            number += 1

    granted = {"width": 320, "height": 240}
    client.preview.publish_status(
        SourceStatus(CameraState.RUNNING, "", 0.0, None, 0, "/dev/video0", granted)
    )
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def draw_seven(page: Any, left: float = 0.3) -> None:
    area = page.locator("#draw-area")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    x, y = box["x"] + box["width"] * left, box["y"] + box["height"] * 0.2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 75, y, steps=5)
    page.mouse.move(x + 25, y + 130, steps=8)
    page.mouse.up()


def expect_text(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    playwright.expect(page.locator(selector)).to_have_text(text, timeout=PATIENCE_MS)


def until(condition: Callable[[], object]) -> None:
    """Waits as the browser's own means would, were they not forbidden by the page's policy."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def no_scrolling_sideways(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_seven_is_drawn_and_read_with_its_probabilities(
    client: Any, visit: Callable[..., Any]
) -> None:
    page = visit(client)
    draw_seven(page)
    expect_text(page, "#draw-text", "7")
    expect_text(page, "#draw-digits .label b", "7")
    assert page.locator("#draw-digits .bars i").count() == 10
    assert page.locator("#draw-digits .bars i.best").inner_text() == "7"
    # What the model saw is light on dark, and not empty.
    brightest = page.evaluate(
        """() => {
            const seen = document.querySelector("#draw-digits canvas");
            const data = seen.getContext("2d").getImageData(0, 0, seen.width, seen.height).data;
            return [seen.width, data[0], Math.max(...data.filter((_, i) => i % 4 === 0))];
        }"""
    )
    assert brightest[:2] == [28, 0]
    assert brightest[2] > 200


def test_strokes_are_taken_back_by_button_and_key(client: Any, visit: Callable[..., Any]) -> None:
    page = visit(client)
    undo, clear = page.locator("#undo"), page.locator("#clear")
    playwright.expect(undo).to_be_disabled()
    draw_seven(page, 0.2)
    draw_seven(page, 0.6)
    expect_text(page, "#draw-text", re.compile(r"^7\s?7$"))
    page.locator("#draw-area").press("Control+z")
    expect_text(page, "#draw-text", "7")
    undo.click()
    expect_text(page, "#draw-text", "")
    playwright.expect(clear).to_be_disabled()
    draw_seven(page)
    clear.click()
    expect_text(page, "#draw-text", "")
    assert page.evaluate("document.activeElement.id") == "draw-area"


def test_digit_is_drawn_by_keyboard_alone(client: Any, visit: Callable[..., Any]) -> None:
    page = visit(client)
    for _ in range(20):
        if page.evaluate("document.activeElement.id") == "draw-area":
            break
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "draw-area"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Space")
    expect_text(page, "#draw-pen", "Pen down")
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect_text(page, "#draw-pen", "Pen up")
    expect_text(page, "#draw-text", "1")
    page.keyboard.press("Escape")
    expect_text(page, "#draw-text", "")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    # A label for everything that takes input.
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, a, canvas[tabindex]")].filter(
            (one) => !(one.textContent.trim() || one.ariaLabel || one.labels?.length)).length"""
    )
    assert nameless == 0


def test_picture_is_chosen_and_its_digits_are_framed(
    client: Any, visit: Callable[..., Any], tmp_path: Path, seven_png: bytes
) -> None:
    page = visit(client)
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": seven_png})
    expect_text(page, "#photo-text", "7")
    framed = page.evaluate(
        """() => {
            const canvas = document.getElementById("photo-picture");
            const context = canvas.getContext("2d");
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            let green = 0;
            for (let i = 0; i < data.length; i += 4) green += data[i + 1] > data[i] + 60;
            return green;
        }"""
    )
    assert framed > 50


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_picture_is_pasted_or_dropped(
    client: Any, visit: Callable[..., Any], seven_png: bytes, way: str
) -> None:
    page = visit(client)
    page.evaluate(
        """([bytes, way]) => {
            const moved = new DataTransfer();
            moved.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
            const event = way === "paste"
                ? new ClipboardEvent("paste", { clipboardData: moved, bubbles: true })
                : new DragEvent("drop", { dataTransfer: moved, bubbles: true, cancelable: true });
            document.body.dispatchEvent(event);
        }""",
        [list(seven_png), way],
    )
    expect_text(page, "#photo-text", "7")


def test_file_that_is_no_picture_is_said_so(client: Any, visit: Callable[..., Any]) -> None:
    # The browser reports the answer's status on its console, as it should.
    page = visit(client)
    page.route("**/api/read*", lambda route: route.fulfill(status=200, json=_nothing()))
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"nothing"})
    expect_text(page, "#photo-text", "Nothing found")


def _nothing() -> dict[str, Any]:
    return {"text": "", "digits": [], "size": [1, 1], "latency_ms": 1.0}


def test_picture_that_is_too_large_is_made_smaller_before_it_is_sent(
    open_page: Callable[..., Any],
    visit: Callable[..., Any],
    make_png: Callable[[np.ndarray], bytes],
    seven_pixels: Callable[[int], np.ndarray],
) -> None:
    from edge_runtime.web.limits import Limits

    with open_page(camera=False, limits=Limits(pixels=6_000_000)) as client:
        page = visit(client)
        data = make_png(seven_pixels(2600))
        page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": data})
        expect_text(page, "#photo-text", "7")


def test_page_without_a_camera_says_so(client: Any, visit: Callable[..., Any]) -> None:
    page = visit(client)
    expect_text(page, "#state", "Ready · no camera")
    playwright.expect(page.locator("#no-camera")).to_be_visible()
    playwright.expect(page.locator("#live")).to_be_hidden()


def test_live_picture_moves_and_its_reading_is_shown(
    open_page: Callable[..., Any],
    visit: Callable[..., Any],
    make_reading: Callable[..., LiveReading],
) -> None:
    grey = """() => {
        const image = document.getElementById("stream");
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 1;
        const context = canvas.getContext("2d");
        context.drawImage(image, image.naturalWidth - 9, image.naturalHeight - 9, 4, 4, 0, 0, 1, 1);
        return context.getImageData(0, 0, 1, 1).data[0];
    }"""
    with open_page() as client, running_camera(client, make_reading):
        page = visit(client)
        playwright.expect(page.locator("#stream")).to_be_visible()
        first = page.evaluate(grey)
        until(lambda: page.evaluate(grey) != first)
        expect_text(page, "#live-text", "42")
        expect_text(page, "#state", "Camera running · 320 × 240")
        expect_text(page, "#live-digits .label b", "7")
        expect_text(page, "#fact-fps", re.compile(r"^\d+\.\d / s$"))
        expect_text(page, "#fact-age", re.compile(r"^13 ms"))
        expect_text(page, "#fact-dropped", re.compile("^3"))

        page.click("#pause")
        expect_text(page, "#pause", "Go on")
        until(lambda: (page.locator("#stream").get_attribute("src") or "").startswith("blob:"))
        until(lambda: client.preview._stream.viewers == 0)
        paused = page.evaluate(grey)
        page.click("#pause")
        until(lambda: page.evaluate(grey) != paused)


def test_camera_that_goes_is_told_and_so_is_its_return(
    open_page: Callable[..., Any],
    visit: Callable[..., Any],
    make_reading: Callable[..., LiveReading],
) -> None:
    with open_page() as client:
        page = visit(client)
        with running_camera(client, make_reading):
            expect_text(page, "#state", "Camera running · 320 × 240")
        gone = SourceStatus(CameraState.ABSENT, "the cable was pulled", 0.0, 4.2, 0, "0", {})
        client.preview.publish_status(gone)
        expect_text(page, "#state", "No camera")
        expect_text(page, "#video-note", "the cable was pulled · next try in 5 s")
        playwright.expect(page.locator("#video")).to_have_class(re.compile("stale"))
        with running_camera(client, make_reading):
            expect_text(page, "#video-note", "")
            playwright.expect(page.locator("#video")).not_to_have_class(re.compile("stale"))


def test_token_is_asked_for_and_lets_in(open_page: Callable[..., Any], browser: Any) -> None:
    with open_page(camera=False, token="a-token-of-some-length") as client:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(client.preview.url)
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.fill("#token", "a-token-of-some-length")
        page.click("button")
        expect_text(page, "#state", "Ready · no camera")
        assert page.url == client.preview.url
        draw_seven(page)
        expect_text(page, "#draw-text", "7")
        context.close()


def test_phone_has_no_sideways_scrolling_and_room_for_fingers(
    open_page: Callable[..., Any],
    visit: Callable[..., Any],
    make_reading: Callable[..., LiveReading],
) -> None:
    with open_page() as client, running_camera(client, make_reading):
        page = visit(client, **PHONE)
        playwright.expect(page.locator("#stream")).to_be_visible()
        draw_seven(page)
        expect_text(page, "#draw-text", "7")
        assert no_scrolling_sideways(page)
        wide = page.evaluate(
            """() => [...document.querySelectorAll("main *")].filter(
                (one) => one.getBoundingClientRect().right > innerWidth).length"""
        )
        assert wide == 0
        for button in page.locator("button:visible").all():
            assert button.bounding_box()["height"] >= 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_can_be_read(
    client: Any, visit: Callable[..., Any], scheme: str
) -> None:
    page = visit(client, color_scheme=scheme)
    draw_seven(page)
    expect_text(page, "#draw-text", "7")
    back = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (back < 0.1) is (scheme == "dark")
    pairs = page.evaluate(
        """() => [...document.querySelectorAll("h1, h2, p, a, button:enabled, strong, b, small")]
            .filter((one) => one.textContent.trim() && one.checkVisibility())
            .map((one) => {
                let below = one;
                while (getComputedStyle(below).backgroundColor === "rgba(0, 0, 0, 0)")
                    below = below.parentElement;
                const behind = getComputedStyle(below).backgroundColor;
                return [one.outerHTML.slice(0, 60), getComputedStyle(one).color, behind];
            })"""
    )
    assert len(pairs) > 10
    for what, front, behind in pairs:
        light, dark = sorted((luminance(front), luminance(behind)), reverse=True)
        # WCAG 2.2, success criterion 1.4.3.
        assert (light + 0.05) / (dark + 0.05) >= 4.5, what


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it, of rgb(…)."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
