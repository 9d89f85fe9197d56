"""The page of `foxapi serve` in a browser: submits, the history, several tabs, and the form."""

import re
from uuid import uuid4

import pytest
from browsing import Server, choose, inside, loaded, send, sent, shot
from chromium import expect, needs_chromium
from helpers import let_end
from PIL import Image

from foxapi_async.emulator import Fault

pytestmark = [needs_chromium, pytest.mark.thorough]

HOSTILE = "<img src=x onerror=\"document.title='caught'\"></p></script><script>document.title='caught'</script> \u202etxet\u202c a\u200bb \u2067rtl\u2069"


def test_a_prompt_becomes_an_image(page, page_service):
    """A prompt is typed and sent; progress moves, the remaining time is shown, and the image appears."""
    billed = page_service.billed
    page_service.add_fault(Fault.never_finishes(prompt="fresh snow"))
    card = send(page, "a red fox in fresh snow")
    bar = card.locator("progress")
    expect(bar).to_have_attribute("value", re.compile("^[1-9]"))
    let_end(page_service)
    expect(card.locator("img")).to_have_count(1)
    expect(card).to_have_attribute("data-state", "done")
    card.locator("img").scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.card img').naturalWidth > 0")

    assert billed + 1 == page_service.billed
    assert card.locator("img").get_attribute("src").startswith("/files/")
    expect(card.locator(".prompt")).to_have_text("a red fox in fresh snow")
    expect(page.locator("#announcer")).to_have_text(re.compile("Ready: 1 result"))


def test_the_remaining_time_is_in_words(page, page_service):
    """A running task's card shows in words how much time is left."""
    page_service.add_fault(Fault.never_finishes(prompt="how long"))
    card = send(page, "how long")

    expect(card.locator(".state")).to_have_text(re.compile(r"about \d+ seconds? left|any moment now"))
    let_end(page_service)
    expect(card).to_have_attribute("data-state", "done")


def test_the_history_survives_a_reload(page):
    """After a reload the cards are there, the newest first, and an unfinished one continues."""
    send(page, "before the reload")
    page.reload()
    card = page.locator(".card").first

    expect(card.locator(".prompt")).to_have_text("before the reload")
    expect(card).to_have_attribute("data-state", "done")


def test_the_history_survives_the_server(browser, page_service, tmp_path):
    """A page that stays open while its server is restarted finds it again, and shows the new state of its tasks."""
    first = Server(page_service, tmp_path / "page")
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(first.url)
        loaded(page)
        send(page, "through a restart")
        first.end()
        expect(page.locator("#link")).to_have_text(re.compile("No connection"))
        second = Server(page_service, tmp_path / "page", first.port)
        try:
            expect(page.locator(".card")).to_have_attribute("data-state", "done")
            expect(page.locator("#link")).to_have_text("")
        finally:
            second.end()


def test_an_older_history_takes_nothing_back(page, page_service):
    """A page of the history that arrives after a newer change from the stream does not undo it."""
    page_service.add_fault(Fault.never_finishes(prompt="held back"))
    card = send(page, "held back")
    expect(card).to_have_attribute("data-state", "submitted")
    held = []
    page.route("**/history*", lambda route: held.append((route, route.fetch())))
    inside(page, "cards", "{ done: (window.refreshed = m.refresh()) && null }")
    while not held:
        page.wait_for_timeout(10)
    let_end(page_service)
    expect(card).to_have_attribute("data-state", "done")
    # The end of the task may have caused a second request.
    assert '"submitted"' in held[0][1].text()
    for route, response in held:
        route.fulfill(response=response)
    page.evaluate("() => window.refreshed")

    assert "done" == card.get_attribute("data-state")


def sent_by_others(page, count):
    """Another page requests this many images. Returns the prompts."""
    prompts = [f"by others {uuid4()}" for _ in range(count)]
    for prompt in prompts:
        fields = {"model": "grok-imagine-image", "prompt": prompt}
        assert 202 == page.request.post("/images", data=fields).status
    return prompts


def cut(page):
    """The stream delivers nothing any more."""
    inside(page, "page", "m.leave()")


def back(page):
    """The stream is there again, and the missed changes have been read."""
    page.evaluate("() => { document.querySelector('#link').textContent = 'away'; }")
    inside(page, "page", "m.listen()")
    expect(page.locator("#link")).to_have_text("")


def done_at(page, prompt):
    """Whether the image is done in the server's history."""
    cards = page.request.get("/history?limit=100").json()["cards"]
    return ["done"] == [card["state"] for card in cards if card["request"]["prompt"] == prompt]


def test_a_history_asked_for_earlier_takes_nothing_back(page, page_service):
    """Of two pages of the history the one that was requested later counts, whichever arrives first."""
    page_service.add_fault(Fault.never_finishes(prompt="overtaken"))
    card = send(page, "overtaken")
    expect(card).to_have_attribute("data-state", "submitted")
    held = []
    page.route("**/history*", lambda route: held.append((route, route.fetch())), times=1)
    inside(page, "cards", "{ done: (window.refreshed = m.refresh()) && null }")
    while not held:
        page.wait_for_timeout(10)
    cut(page)
    let_end(page_service)
    while not done_at(page, "overtaken"):
        page.wait_for_timeout(100)
    back(page)
    expect(card).to_have_attribute("data-state", "done")
    [(route, response)] = held
    route.fulfill(response=response)
    page.evaluate("() => window.refreshed")

    assert "done" == card.get_attribute("data-state")


def test_what_was_missed_is_read_to_its_end(page, page_service, complaints):
    """After a gap nothing is missing, even if the first read failed half-way, and all ended tasks are shown
    as ended.
    """
    page_service.add_fault(Fault.never_finishes(prompt="ends in the gap"))
    expect(send(page, "ends in the gap")).to_have_attribute("data-state", "submitted")
    cut(page)
    prompts = sent_by_others(page, 35)
    let_end(page_service)
    while not done_at(page, "ends in the gap"):
        page.wait_for_timeout(100)
    failing = []

    def fail_once(route):
        failing.append(route.request.url)
        if len(failing) == 2:
            route.fulfill(status=503)
        else:
            route.continue_()

    page.route("**/history*", fail_once)
    back(page)

    assert len(failing) > 2
    shown = page.locator(".card .prompt").all_text_contents()
    assert set(prompts) <= set(shown)
    complaints[:] = [text for text in complaints if "503" not in text]
    ended = page.locator(".card", has_text="ends in the gap")
    assert "done" == ended.get_attribute("data-state")


def test_a_history_that_breaks_off_is_asked_for_again(page):
    """An answer that is not complete JSON is not used."""
    cut(page)
    prompts = sent_by_others(page, 2)
    broken = '{"cards": ['
    page.route("**/history*", lambda route: route.fulfill(status=200, body=broken), times=1)
    back(page)

    assert set(prompts) <= set(page.locator(".card .prompt").all_text_contents())


def test_what_is_no_item_any_more_is_taken_off_the_page(page):
    """If a card's submit was unanswered at one reading of the history, and then refused, the next reading
    removes it.
    """
    expect(send(page, "one that is made")).to_have_attribute("data-state", "done")
    count = page.locator(".card").count()
    inside(
        page,
        "cards",
        "m.take({ ...m.cards.order[0].item, key: 'refused', state: 'submitting', id: null, files: [] }, 0)",
    )
    expect(page.locator(".card")).to_have_count(count + 1)
    cut(page)
    back(page)

    expect(page.locator(".card")).to_have_count(count)


def test_a_card_without_a_waiter_is_read_again(page):
    """A card that the server had stopped waiting for before a gap, and that continued in it, is shown correctly."""
    for prompt in sent_by_others(page, 33):
        expect(page.locator(".card", has_text=prompt)).to_have_attribute("data-state", "done")
    inside(page, "cards", "m.refresh()")  # none of these is missing
    inside(
        page,
        "cards",
        "m.take({ ...m.cards.order.at(-1).item, state: 'submitted', fault: 'waited an hour', files: [] })",
    )
    cut(page)
    back(page)

    expect(page.locator(".card[data-state=fault]")).to_have_count(0)


def test_a_history_that_failed_is_asked_for_again(browser, page_server):
    """If the history cannot be read, the page says so and tries again."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/history*", lambda route: route.fulfill(status=503))
        page.goto(page_server.url)
        expect(page.locator("#link")).to_have_text(re.compile("No connection"))
        page.unroute("**/history*")
        expect(page.locator("#link")).to_have_text("")

        loaded(page)


@pytest.mark.parametrize("has_workers", [True, False])
def test_any_number_of_tabs(browser, page_server, has_workers):
    """Eight tabs of one browser all load, and each shows an image that another one asked for, also in a browser
    without shared workers, such as Chrome on Android. If the tab that reads the stream is closed, another one does.
    """
    first, second = f"a fox for all tabs {uuid4()}", f"a fox for the other tabs {uuid4()}"
    with browser.new_context() as context:
        if not has_workers:
            context.add_init_script("delete window.SharedWorker")
        tabs = [context.new_page() for _ in range(8)]
        for tab in tabs:
            tab.goto(page_server.url)
            loaded(tab)
        tabs[0].locator("#prompt").fill(first)
        tabs[0].locator("#send").click()
        for tab in tabs:
            card = tab.locator(".card", has_text=first)
            expect(card).to_have_attribute("data-state", "done")
        tabs.pop(0).close()
        tabs[0].reload()
        loaded(tabs[0])
        expect(send(tabs[0], second)).to_have_attribute("data-state", "done")
        for tab in tabs:
            card = tab.locator(".card", has_text=second)
            expect(card).to_have_attribute("data-state", "done")


@pytest.mark.parametrize("is_seen", [True, False])
def test_without_workers_and_locks(browser, page_server, is_seen):
    """A browser that has neither, such as Chrome on Android over http, gets a stream for each tab that is seen."""
    with browser.new_context() as context:
        tab = context.new_page()
        tab.add_init_script(
            "delete window.SharedWorker; Object.defineProperty(navigator, 'locks', { value: undefined });"
            f"Object.defineProperty(document, 'hidden', {{ get: () => window.isHidden ?? {str(not is_seen).lower()} }})"
        )
        tab.goto(page_server.url)
        if not is_seen:
            expect(tab.locator("#model-name")).not_to_be_empty()
            expect(tab.locator("#cards")).to_have_attribute("aria-busy", "true")
            tab.evaluate(
                "() => { window.isHidden = false; document.dispatchEvent(new Event('visibilitychange')); }"
            )
        loaded(tab)
        expect(send(tab, "a fox without a worker")).to_have_attribute("data-state", "done")
        inside(tab, "page", "m.leave()")


def test_options_are_those_of_the_model(page):
    """The form has a model's own fields and no others, and keeps a choice that the next model has too."""
    choose(page, "grok-imagine-image")
    expect(page.locator("#field-num_outputs")).to_be_visible()
    expect(page.locator("#field-resolution")).to_have_count(0)
    page.select_option("#field-aspect_ratio", "16:9")
    choose(page, "gemini-3-pro-image-preview")
    expect(page.locator("#field-num_outputs")).to_have_count(0)
    expect(page.locator("#field-resolution")).to_be_visible()
    expect(page.locator("#field-aspect_ratio")).to_have_value("16:9")
    expect(page.locator("#field-image_search")).to_have_count(0)


def test_several_images(page):
    """All requested images are shown, each with its own link."""
    page.select_option("#field-num_outputs", "3")
    card = send(page, "three foxes")

    expect(card.locator("img")).to_have_count(3)
    expect(card.get_by_text("Save all")).to_be_visible()


def test_a_hostile_prompt_is_text(page):
    """A prompt with markup, script and letters that change the text direction is shown as plain text."""
    card = send(page, HOSTILE)
    expect(card).to_have_attribute("data-state", "done")

    assert HOSTILE == card.locator(".prompt").evaluate("(element) => element.textContent")
    assert 0 == card.locator(".prompt *").count()
    assert HOSTILE == card.locator("img").get_attribute("alt")
    assert "caught" != page.title()


def test_a_failure_is_reported_in_words(page, page_service):
    """A failed task's card says so, with the service's words and what may be billed."""
    page_service.add_fault(Fault.fails(message="<b>Not</b> that."))
    card = send(page, "something refused")

    expect(card).to_have_attribute("data-state", "failed")
    expect(card.locator(".message")).to_contain_text("<b>Not</b> that.")
    expect(card.locator(".message")).to_contain_text("It may have been billed.")


def picture(folder, name="fox.png"):
    path = folder / name
    Image.new("RGB", (60, 40), (200, 80, 20)).save(path)
    return path


def test_a_reference_image_is_chosen(page, page_service, tmp_path):
    """A chosen file is shown, uploaded, and sent with the request; and it can be removed."""
    page.set_input_files("#field-image_urls", [picture(tmp_path), picture(tmp_path, "other.png")])
    expect(page.locator(".references li[data-state=ready]")).to_have_count(2)
    page.get_by_label("Remove other.png").click()
    expect(page.locator(".references li")).to_have_count(1)
    card = send(page, "the same at night")

    expect(card).to_have_attribute("data-state", "done")
    expect(card.locator(".meta")).to_contain_text("1 input file")


DROP = """([kind, name]) => {
    const bytes = Uint8Array.from(atob(name), (c) => c.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
        : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
    document.querySelector("#prompt").dispatchEvent(event);
}"""
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_reference_image_is_dropped_or_pasted(page, way):
    """An image that is dropped anywhere on the page, or pasted, becomes a reference image."""
    page.evaluate(DROP, [way, DOT])

    expect(page.locator(".references li[data-state=ready]")).to_have_count(1)


def test_the_keyboard_is_enough(page):
    """With only the keyboard a model and a ratio are chosen, and a prompt is sent, twice."""
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#model")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#model-search")).to_be_focused()
    page.keyboard.type("gemini pro")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#field-resolution")).to_be_visible()
    expect(page.locator("#model")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type("by keyboard")
    before = page.locator(".card").count()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.id") == "send":
            break
    page.keyboard.press("Enter")
    sent(page, before + 1)
    expect(page.locator("#send")).to_be_focused()
    page.locator("#prompt").focus()
    page.keyboard.press("Control+Enter")
    sent(page, before + 2)
    expect(page.locator(".card[data-state=done]").first).to_be_visible()


def test_use_again_fills_the_form(page):
    """The button "Use again" fills the form with the request of a card."""
    choose(page, "gemini-3-pro-image-preview")
    page.select_option("#field-resolution", "2K")
    card = send(page, "once more")
    choose(page, "grok-imagine-image")
    page.fill("#prompt", "")
    card.get_by_text("Use again").click()

    expect(page.locator("#prompt")).to_have_value("once more")
    expect(page.locator("#field-resolution")).to_have_value("2K")
    expect(page.locator("#prompt")).to_be_focused()


def test_every_control_has_a_name(page):
    """With each model, every control has a name for screen readers."""
    for model in inside(page, "form", "m.form.models.map((each) => each.model)"):
        inside(page, "form", f"m.chooseModel(m.modelNamed('{model}'))")
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('input, select, textarea, button')]"
            ".filter((e) => !(e.labels?.length || e.textContent || e.ariaLabel)).map((e) => e.id)"
        )
        assert [] == unnamed


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("size", "width"), [("wide", 1360), ("phone", 360)])
def test_it_fits_the_screen(page, scheme, size, width):
    """Nothing is wider than the screen, also on a phone, and the colours follow the system's."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    card = send(page, "a fox that fits")
    expect(card).to_have_attribute("data-state", "done")
    page.wait_for_function("() => document.querySelector('.card img')?.naturalWidth > 0")

    assert width >= page.evaluate("() => document.documentElement.scrollWidth")
    light = page.evaluate(
        "() => Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]) > 127"
    )
    assert (scheme == "light") is light
    shot(page, f"{size}-{scheme}", full_page=size == "phone")
