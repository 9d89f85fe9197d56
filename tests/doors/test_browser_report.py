"""The report in a browser: the system's Chromium, without a screen."""

import json
from pathlib import Path

import pytest
from chromium import SHOTS, expect, needs_chromium
from PIL import Image

from foxapi_async.report import write_report

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is not installed (pip install axe-playwright-python)"
)

pytestmark = needs_chromium

HOSTILE = (
    "<img src=x onerror=\"document.title='caught'\"></p></script><script>document.title='caught'</script>"
)
COLOURS = ("firebrick", "darkorange", "seagreen", "steelblue", "slateblue", "peru")
FAILURES = (
    ("failed", "content_policy_violation", "the prompt is not allowed", "unknown"),
    ("failed", "content_policy_violation", "the prompt is not allowed", "unknown"),
    ("uncertain", "UncertainSubmitError", "the connection broke off after it was sent", "unknown"),
    ("unsaved", "DownloadError", "the address of the image answered with 404", "yes"),
)


def write_batch(folder, items=12):
    """The report of a batch with images, and with one item of each bad end."""
    (folder / "images").mkdir()
    lines = []
    for number in range(items):
        size = (512, 512) if number % 3 else (640, 360)
        Image.new("RGB", size, COLOURS[number % len(COLOURS)]).save(folder / f"images/{number}.png")
        lines.append(
            {
                "id": f"fox-{number}",
                "task_id": f"task-{number}",
                "status": "done",
                "model": "grok-imagine-image" if number % 2 else "gemini-3-pro-image-preview",
                "prompt": f"a {COLOURS[number % len(COLOURS)]} fox in the snow, number {number}",
                "files": [{"path": f"images/{number}.png"}],
                "credits": 2.5,
                "timings": {"elapsed": 5 + number, "finished": 1_790_000_000 + 20 * number},
            }
        )
    for number, (status, code, message, charged) in enumerate(FAILURES):
        error = {"code": code, "message": message, "charged": charged}
        lines.append(
            {
                "id": f"bad-{number}",
                "task_id": f"task-bad-{number}",
                "status": status,
                "model": "grok-imagine-image",
                "prompt": HOSTILE,
                "error": error,
                "timings": {"finished": 1_790_000_100},
            }
        )
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return write_report(folder)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return write_batch(tmp_path_factory.mktemp("report")).as_uri()


@pytest.fixture
def opened(browser):
    """Opens an address in a window of its own. At the end its console must be empty."""
    complaints, contexts = [], []

    def opened(address, **options):
        options.setdefault("viewport", {"width": 1360, "height": 900})
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        expect(page.locator("#tools")).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [] == complaints


@pytest.fixture
def page(opened, address):
    return opened(address)


def shoot(page, name, **options):
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"report-{name}.png"), **options)


def place(page):
    return page.locator(".lightbox .place")


def test_an_image_opens_in_the_lightbox(page):
    """A click shows it large, with its place among all files."""
    page.locator(".card a").nth(2).click()

    expect(place(page)).to_have_text("3 of 12")
    shoot(page, "lightbox")


def test_the_lightbox_keeps_the_filter(page):
    """It shows the files of the cards that the filter leaves, and no others."""
    page.select_option("#model", "grok-imagine-image")
    page.locator(".card:visible a").first.click()

    expect(place(page)).to_have_text("1 of 6")


def test_the_filter_stays_after_the_lightbox(page):
    """Esc closes the lightbox and not the filter."""
    page.fill("#search", "number 5")
    page.locator(".card:visible a").first.click()
    page.keyboard.press("Escape")

    expect(page.locator(".lightbox")).to_be_hidden()
    expect(page.locator("#search")).to_have_value("number 5")


@pytest.mark.parametrize(
    ("key", "expected"),
    [("ArrowRight", "4 of 12"), ("ArrowLeft", "2 of 12"), ("Home", "1 of 12"), ("End", "12 of 12")],
)
def test_keys_move_in_the_lightbox(page, key, expected):
    """Arrows, Home and End move among the files."""
    page.locator(".card a").nth(2).click()
    page.keyboard.press(key)

    expect(place(page)).to_have_text(expected)


def test_the_focus_returns_to_the_image(page):
    """Who opens the lightbox with the keyboard is at the same image after it."""
    page.locator(".card a").nth(1).focus()
    page.keyboard.press("Enter")
    expect(place(page)).to_have_text("2 of 12")
    page.keyboard.press("Escape")

    expect(page.locator(".card a").nth(1)).to_be_focused()


def test_a_far_image_gives_its_memory_back(opened, tmp_path):
    """An image far from the window has no `src`, and gets it back when it comes near."""
    page = opened(write_batch(tmp_path, 200).as_uri())
    first, last = page.locator(".card img").first, page.locator(".card img").last
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(last).to_have_attribute("src", "images/199.png")
    expect(first).not_to_have_attribute("src", "images/0.png")
    page.evaluate("scrollTo(0, 0)")

    expect(first).to_have_attribute("src", "images/0.png")


def test_a_far_card_keeps_the_focus(opened, tmp_path):
    """A reader who scrolls away and presses Tab continues where he was."""
    page = opened(write_batch(tmp_path, 200).as_uri())
    page.locator(".prompt").nth(2).focus()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator(".card img").last).to_have_attribute("src", "images/199.png")

    expect(page.locator(".prompt").nth(2)).to_be_focused()


def test_a_print_has_all_images(opened, tmp_path):
    """They are loaded before it, and those far from the window give their memory back after it."""
    page = opened(write_batch(tmp_path, 200).as_uri())
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator(".card img").first).not_to_have_attribute("src", "images/0.png")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(".card img[src]")).to_have_count(200)
    page.evaluate("dispatchEvent(new Event('afterprint'))")

    expect(page.locator(".card img").first).not_to_have_attribute("src", "images/0.png")
    expect(page.locator(".card img").last).to_have_attribute("src", "images/199.png")


def test_what_a_search_finds_stands_together(opened, tmp_path):
    """Cards of different groups get into one, in their order, and all come back when the search is empty."""
    page = opened(write_batch(tmp_path, 200).as_uri())
    page.locator("#search").fill("fox-19")
    prompts = page.locator(".group:visible").first.locator(".prompt")

    expect(page.locator("#count")).to_have_text("11 of 204 shown")
    expect(page.locator(".group:visible")).to_have_count(1)
    assert [19, *range(190, 200)] == [int(text.rpartition(" ")[2]) for text in prompts.all_inner_texts()]
    page.locator("#search").fill("")
    expect(page.locator(".card")).to_have_count(204)


def test_hostile_prompts_stay_text(page):
    """A prompt with a script does not run, and is shown as it is."""
    expect(page.locator(".prompt", has_text="onerror")).to_have_count(len(FAILURES))
    assert "caught" != page.title()


def test_a_chinese_reader_gets_chinese(opened, address):
    """The page has the language of the browser, and says so."""
    page = opened(address, locale="zh-CN")

    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    page.locator(".card a").first.click()
    expect(place(page)).to_have_text("第 1 个，共 12 个")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("width", [1360, 390])
def test_axe_finds_no_barrier(opened, address, scheme, locale, width):
    """Light and dark, in English and Chinese, wide and on a phone."""
    page = opened(address, color_scheme=scheme, locale=locale, viewport={"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    shoot(page, f"{scheme}-{locale}-{width}", full_page=True)
    found = axe.Axe().run(page).response["violations"]

    assert [] == [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]


def test_axe_finds_no_barrier_in_the_lightbox(page):
    """The lightbox over the page is accessible too."""
    page.locator(".card a").first.click()
    expect(place(page)).to_have_text("1 of 12")
    found = axe.Axe().run(page).response["violations"]

    assert [] == [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]


def test_a_phone_does_not_scroll_sideways(opened, address):
    """No part is wider than the window of a phone."""
    page = opened(address, viewport={"width": 390, "height": 800})

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_print_has_every_image(opened, tmp_path):
    """All images are there to be printed, those far from the window too."""
    page = opened(write_batch(tmp_path, 200).as_uri())
    printed = page.pdf(path=f"{SHOTS}/report.pdf" if SHOTS else None, format="A4")

    assert 200 == printed.count(b"/Subtype /Image")
