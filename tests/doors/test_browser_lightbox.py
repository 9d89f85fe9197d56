"""The lightbox that the page and the report share, alone in a browser."""

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")

from chromium import PATIENCE, expect, needs_chromium

from foxapi_async._lightbox import read_asset

pytestmark = needs_chromium

PLAIN = """<!doctype html><html lang="en"><title>Box</title><button id="opener">Open</button>"""
MAKE = """
    window.list = ["a", "b", "c"].map((name) => ({ url: address(name), name: `${name}.svg`, type: "image/svg+xml",
      prompt: `prompt ${name}`, id: `id-${name}`, about: "" }));
    function address(name) {
      return "data:image/svg+xml," + encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>${name}</title></svg>`);
    }
    window.box = new Lightbox({ items: () => window.list });
    document.getElementById("opener").addEventListener("click", () => window.box.open(window.list[1].url));
"""


@pytest.fixture
def make_box(browser):
    """A page with three images and a button that opens the second one."""
    said, contexts = [], []

    def make_box(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(PATIENCE)
        tab.on("pageerror", lambda error: said.append(str(error)))
        # An address of https, which browsers trust with the clipboard. Nothing is fetched.
        tab.route("**/*", lambda route: route.fulfill(body=PLAIN, content_type="text/html"))
        tab.goto("https://lightbox.test/")
        tab.add_style_tag(content=read_asset("lightbox.css"))
        tab.add_script_tag(content=read_asset("lightbox.js") + MAKE)
        tab.click("#opener")
        return tab

    yield make_box
    for context in contexts:
        context.close()
    assert [] == said


def shows(tab, place):
    expect(tab.locator(".lightbox .place")).to_have_text(place)


def test_keys_move_in_the_lightbox(make_box):
    """Arrows move by one, Home and End to the ends, and the ends stay."""
    tab = make_box()

    for key, place in [
        ("ArrowRight", 3),
        ("ArrowRight", 3),
        ("ArrowLeft", 2),
        ("Home", 1),
        ("ArrowLeft", 1),
        ("End", 3),
    ]:
        tab.keyboard.press(key)
        shows(tab, f"{place} of 3")
    expect(tab.locator(".lightbox .next")).to_have_attribute("aria-disabled", "true")


def test_escape_gives_the_focus_back(make_box):
    """Escape closes the lightbox, and the focus is where it was."""
    tab = make_box()
    expect(tab.locator(".lightbox .stage")).to_be_focused()

    tab.keyboard.press("Escape")

    expect(tab.locator(".lightbox")).to_be_hidden()
    expect(tab.locator("#opener")).to_be_focused()


SWIPE = """([x, y]) => {
  const stage = document.querySelector(".lightbox .stage");
  const touch = (x, y) => new Touch({ identifier: 1, target: stage, clientX: x, clientY: y });
  const start = touch(300, 300), end = touch(300 + x, 300 + y);
  stage.dispatchEvent(new TouchEvent("touchstart", { touches: [start], changedTouches: [start] }));
  stage.dispatchEvent(new TouchEvent("touchend", { touches: [], changedTouches: [end] }));
}"""


@pytest.mark.parametrize(
    ("way", "place"),
    [((-80, 5), "3 of 3"), ((80, 5), "1 of 3"), ((-20, 0), "2 of 3"), ((-80, 200), "2 of 3")],
)
def test_a_swipe_moves(make_box, way, place):
    """A swipe to the side moves by one; a short or steep one does not."""
    tab = make_box(has_touch=True)

    tab.evaluate(SWIPE, list(way))

    shows(tab, place)


def test_texts_are_copied_with_permission(make_box):
    """With the permission, the prompt and the id are on the clipboard."""
    tab = make_box(permissions=["clipboard-read", "clipboard-write"])

    for button, copied in [("Copy prompt", "prompt b"), ("Copy id", "id-b")]:
        tab.get_by_role("button", name=button).click()
        expect(tab.locator(".lightbox .said")).to_have_text("Copied")
        assert copied == tab.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize(
    ("allowed", "words"), [(True, "Copied"), (False, "The browser does not allow copying.")]
)
def test_without_permission_a_selection_is_copied(make_box, allowed, words):
    """Without the clipboard the text is copied from a selection; if that fails too, the lightbox says so."""
    tab = make_box()
    tab.evaluate(
        """(allowed) => {
          Object.defineProperty(navigator, "clipboard", { value: undefined });
          document.execCommand = () => ((window.copied = getSelection().toString() || document.activeElement.value), allowed);
        }""",
        allowed,
    )

    tab.get_by_role("button", name="Copy prompt").click()

    expect(tab.locator(".lightbox .said")).to_have_text(words)
    assert "prompt b" == tab.evaluate("window.copied")
    expect(tab.get_by_role("button", name="Copy prompt")).to_be_focused()
    assert 0 == tab.locator("textarea").count()


def test_a_file_that_cannot_be_shown_says_so(make_box):
    """A broken image is a sentence in its place, and the others can still be reached."""
    tab = make_box()
    tab.evaluate("window.list[2].url = 'data:image/png,broken'")

    tab.keyboard.press("ArrowRight")

    expect(tab.locator(".lightbox .file")).to_have_text("This file cannot be shown. Save it instead.")
    tab.keyboard.press("ArrowLeft")
    expect(tab.locator(".lightbox img")).to_be_visible()


def test_a_file_without_a_viewer_shows_its_name(make_box):
    """A file that is no image, video or sound shows its name."""
    tab = make_box()
    tab.evaluate("Object.assign(window.list[0], { type: 'application/pdf', name: 'a.pdf' })")

    tab.keyboard.press("Home")

    expect(tab.locator(".lightbox .file")).to_have_text("a.pdf")


def test_a_list_that_changes_keeps_the_shown_item(make_box):
    """After a change the shown item has its new place; the box closes if the item has gone."""
    tab = make_box()

    tab.evaluate("window.list.shift(); window.box.refresh()")
    shows(tab, "1 of 2")
    expect(tab.locator(".lightbox .prompt")).to_have_text("prompt b")
    tab.evaluate("window.list.shift(); window.box.refresh()")
    expect(tab.locator(".lightbox")).to_be_hidden()
