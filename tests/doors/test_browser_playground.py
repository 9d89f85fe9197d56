"""The page of `foxapi serve` in a browser: money, presses, comparing, errors, the filter, languages and accessibility."""

import re
from uuid import uuid4
from zipfile import ZipFile

import pytest
from browsing import choose, inside, loaded, send, shot
from chromium import expect, needs_chromium
from helpers import let_end
from PIL import Image

from foxapi_async.emulator import Fault

Axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is not installed (nox -s browser)"
).Axe
pytestmark = [needs_chromium, pytest.mark.thorough]

LONG = "A wide valley at dawn with thin fog over a river, pine trees, and a cabin with one lit window. " * 5


def named(prompt):
    """A prompt that no other test has."""
    return f"{prompt} {uuid4().hex[:8]}"


def card_of(page, prompt):
    return page.locator(".card", has_text=prompt)


def press(page, prompt):
    """Press without waiting for the answer."""
    page.fill("#prompt", prompt)
    page.click("#send")


# Money.


def test_the_badge_and_the_price(page):
    """The badge says that nothing is billed; the price of a press is known once one of its kind was made."""
    expect(page.locator("#badge")).to_have_text("Emulator: nothing is billed")
    expect(page.locator("#spent")).to_have_text(re.compile(r"Counted in this folder: \d+ credits?"))
    choose(page, "gemini-3-pro-image-preview")
    page.select_option("#field-aspect_ratio", "3:4")
    page.select_option("#field-resolution", "4K")
    expect(page.locator("#price")).to_have_text("The price is not known yet")
    expect(send(page, named("a price"))).to_have_attribute("data-state", "done")
    expect(page.locator("#price")).to_have_text(re.compile(r"This request costs \d+ credits?"))


def test_the_badge_of_the_service(page):
    """Without an emulator the badge says that presses cost credits, and how many requests have no known price."""
    inside(page, "sending", "m.showSpending({ emulated: false, spent: 12.5, unpriced: 1 })")

    expect(page.locator("#badge")).to_have_text("Live: costs credits")
    expect(page.locator("#spent")).to_have_text(
        "Spent in this folder: 12.5 credits (and 1 request at an unknown price)"
    )


def test_several_models_show_the_total_first(page, page_service):
    """Before a press sends one prompt to several models, their prices and the total are shown. Cancel sends nothing."""
    prompt = named("compared")
    expect(send(page, named("priced"))).to_have_attribute("data-state", "done")
    billed = page_service.billed
    page.click("#compare")
    page.fill("#model-search", "z-image")
    page.get_by_label("z-image-turbo").check()
    shot(page, "compare")
    page.locator("#chooser .primary").click()
    expect(page.locator("#others li")).to_have_text(["z-image-turbo×"])
    press(page, prompt)
    expect(page.locator("#confirm tr")).to_have_text(
        [re.compile("grok.*5 credits"), re.compile("z-image-turbo.*not known yet")]
    )
    expect(page.locator("#confirm .total")).to_have_text(
        "These requests cost 5 credits, and 1 price is not known yet"
    )
    shot(page, "confirm")
    page.locator("#confirm").get_by_text("Cancel").click()
    expect(page.locator("#confirm")).not_to_be_visible()
    assert page_service.billed == billed
    page.click("#send")
    page.locator("#confirm .primary").click()
    expect(card_of(page, prompt)).to_have_count(2)
    expect(card_of(page, prompt).first).to_have_attribute("data-state", "done")
    expect(card_of(page, prompt).last).to_have_attribute("data-state", "done")

    assert page_service.billed == billed + 2


# Presses.


def test_presses_queue_up(page, page_service):
    """Presses while one is under way wait in line; each is sent once, and one that waits can be withdrawn."""
    one, two, three = named("first"), named("second"), named("third")
    billed = page_service.billed
    held = []
    page.route("**/images", lambda route: held.append(route), times=1)  # noqa: PLW0108 - playwright marks what it gets
    for prompt in (one, two, three):
        press(page, prompt)
    expect(card_of(page, one)).to_have_attribute("data-state", "sending")
    expect(card_of(page, two)).to_have_attribute("data-state", "waiting")
    card_of(page, three).get_by_text("Do not send").click()
    expect(card_of(page, three)).to_have_count(0)
    shot(page, "queue")
    held[0].continue_()
    expect(card_of(page, one)).to_have_attribute("data-state", "done")
    expect(card_of(page, two)).to_have_attribute("data-state", "done")

    assert page_service.billed == billed + 2


def test_a_press_survives_a_reload(page, page_service):
    """A press whose answer a reload cuts off is sent again, and billed once. One that waited is sent after the reload."""
    one, two = named("cut off"), named("in line")
    billed = page_service.billed
    page_service.add_fault(Fault.slow("submit", 1.0))
    press(page, one)
    press(page, two)
    page.reload()
    loaded(page)
    expect(card_of(page, one)).to_have_attribute("data-state", "done")
    expect(card_of(page, two)).to_have_attribute("data-state", "done")

    assert page_service.billed == billed + 2
    assert card_of(page, one).count() == 1


def test_a_press_that_finds_no_server_is_sent_later(page, page_service, complaints):
    """If the server cannot be reached, the press stays in line."""
    prompt = named("no server")
    billed = page_service.billed
    page.route("**/images", lambda route: route.abort(), times=1)
    press(page, prompt)
    expect(card_of(page, prompt)).to_have_attribute("data-state", "done")
    complaints.clear()

    assert page_service.billed == billed + 1


def test_a_wrong_field_is_named_at_the_form(page, complaints):
    """What is wrong with a field of the form is said at the form, and there is no card of it."""
    page.fill("#prompt", named("wrong"))
    page.route(
        "**/images",
        lambda route: route.continue_(
            post_data='{"model": "grok-imagine-image", "prompt": "x", "num_outputs": 9}'
        ),
        times=1,
    )
    count = page.locator(".card").count()
    page.click("#send")
    expect(page.locator("#problems")).to_contain_text("“How many” 9")
    expect(page.locator("#field-num_outputs")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".card")).to_have_count(count)
    complaints.clear()


def test_a_refused_press_is_a_card_until_it_is_put_away(page, page_service, complaints):
    """A refusal that cost nothing is a card in words; "Put away" takes it off the page."""
    prompt = named("refused")
    page.route(
        "**/images",
        lambda route: route.fulfill(
            status=503, json={"error": {"type": "unavailable", "message": "Not now."}}
        ),
        times=1,
    )
    press(page, prompt)
    card = card_of(page, prompt)
    expect(card).to_have_attribute("data-state", "refused")
    expect(card.locator(".message")).to_contain_text("This was not sent")
    expect(card.locator(".message")).to_contain_text("Nothing was billed.")
    card.get_by_text("Put away").click()
    expect(card).to_have_count(0)
    complaints.clear()


def test_a_press_that_may_have_been_sent_is_not_called_unsent(page, complaints):
    """If the server breaks during a press, its card says that it may have been billed."""
    prompt = named("broken")
    page.route("**/images", lambda route: route.fulfill(status=500, body="broken"), times=1)
    press(page, prompt)
    expect(card_of(page, prompt)).to_have_attribute("data-state", "uncertain")
    expect(card_of(page, prompt).locator(".message")).to_contain_text("It may have been billed.")
    complaints.clear()


def test_the_draft_survives_a_reload(page, tmp_path):
    """The model, the prompt, a value and an uploaded file are there after a reload."""
    choose(page, "gemini-3-pro-image-preview")
    page.fill("#prompt", "half a thought")
    page.select_option("#field-resolution", "2K")
    Image.new("RGB", (60, 40)).save(tmp_path / "fox.png")
    page.set_input_files("#field-image_urls", [tmp_path / "fox.png"])
    expect(page.locator(".references li[data-state=ready]")).to_have_count(1)
    page.reload()
    loaded(page)

    expect(page.locator("#model-name")).to_have_text("gemini-3-pro-image-preview")
    expect(page.locator("#prompt")).to_have_value("half a thought")
    expect(page.locator("#field-resolution")).to_have_value("2K")
    expect(page.locator(".references li[data-state=ready]")).to_have_count(1)


# Models of every kind.


def test_a_model_without_a_prompt(page, tmp_path):
    """A model without a prompt needs its input image, and works."""
    choose(page, "phota-image-enhance")
    expect(page.locator("#prompt")).not_to_be_visible()
    page.click("#send")
    expect(page.locator("#problems")).to_have_text("phota-image-enhance needs “Input image”.×")
    Image.new("RGB", (60, 40)).save(tmp_path / "fox.png")
    page.set_input_files("#field-image_url", [tmp_path / "fox.png"])
    expect(page.locator(".references li[data-state=ready]")).to_have_count(1)
    count = page.locator(".card").count()
    page.click("#send")
    expect(page.locator(".card")).to_have_count(count + 1)
    expect(page.locator(".card").first).to_have_attribute("data-state", "done")
    expect(page.locator(".card").first.locator(".meta")).to_contain_text("1 input file")


def test_a_video_is_played(page):
    """A model whose facts are not sure says so, refuses nothing, and its video has controls."""
    choose(page, "veo-3.1-text-to-video")
    expect(page.locator("#unsure")).to_be_visible()
    page.fill("#field-resolution", "many")
    card = send(page, named("a fox runs"))
    expect(card).to_have_attribute("data-state", "done")
    video = card.locator("video")
    video.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.card video').readyState > 0")

    assert video.evaluate("(element) => element.controls")


def test_a_text_is_shown(page):
    """A result that is a text, and no file, is on its card."""
    fields = {"model": "scribe-v2", "audio_url": "https://a.example/a.mp3"}
    assert page.request.post("/images", data=fields).status == 202
    card = page.locator(".card", has_text="scribe-v2")

    expect(card).to_have_attribute("data-state", "done")
    expect(card.locator(".value")).to_have_text("the fox sleeps")


def test_edit_this_makes_a_result_an_input_image(page, page_service):
    """The button "Edit this" stores the file from the folder, and changes to a model that takes input images."""
    card = send(page, named("to be edited"))
    expect(card).to_have_attribute("data-state", "done")
    choose(page, "phota-image")
    card.get_by_text("Edit this").click()
    expect(page.locator("#model-name")).to_have_text("grok-imagine-image")
    expect(page.locator(".references li[data-state=ready]")).to_have_count(1)
    shot(page, "edit")
    edited = send(page, named("the same at night"))
    expect(edited).to_have_attribute("data-state", "done")
    expect(edited.locator(".meta")).to_contain_text("1 input file")


# Cards.


def test_a_long_prompt_expands(page):
    """A long prompt is cut to some lines, and a button shows all of it. A short one has no such button."""
    short = send(page, named("short"))
    expect(short.locator(".prompt")).to_be_visible()
    expect(short.get_by_text("Show all")).not_to_be_visible()
    card = send(page, LONG)
    expect(card).to_have_attribute("data-state", "done")
    prompt = card.locator(".prompt")
    before = prompt.evaluate("(element) => element.clientHeight")
    card.get_by_text("Show all").click()
    expect(card.get_by_text("Show less")).to_have_attribute("aria-expanded", "true")

    assert prompt.evaluate("(element) => element.clientHeight") > before


def test_an_image_keeps_its_ratio(page, page_service):
    """A wide image is shown whole, in a box that has its size before the image is there."""
    page.select_option("#field-aspect_ratio", "16:9")
    prompt = named("wide")
    page_service.add_fault(Fault.never_finishes(prompt=prompt))
    card = send(page, prompt)
    expect(card).to_have_attribute("data-state", "submitted")
    box = card.locator(".pictures").bounding_box()
    let_end(page_service)
    expect(card).to_have_attribute("data-state", "done")
    card.locator("img").scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.card img').naturalWidth > 0")
    after = card.locator(".pictures").bounding_box()

    assert (box["width"], box["height"]) == (after["width"], after["height"])
    assert card.locator("img").evaluate("(element) => getComputedStyle(element).objectFit") == "contain"


def test_an_error_begins_with_a_sentence_and_can_be_put_away(page, page_service):
    """The service's words are folded. What was put away stays away after a reload, and the filter shows it."""
    page_service.add_fault(Fault.fails(code="content_policy_violation", message="The words of the service."))
    prompt = named("refused content")
    card = send(page, prompt)
    expect(card.locator(".message h3")).to_have_text("The service refused this for its content")
    expect(card.get_by_text("The words of the service.")).not_to_be_visible()
    card.get_by_text("Details").click()
    expect(card.get_by_text("The words of the service.")).to_be_visible()
    card.get_by_text("Put away").click()
    expect(card_of(page, prompt)).not_to_be_visible()
    page.reload()
    loaded(page)
    expect(card_of(page, prompt)).not_to_be_visible()
    page.select_option("#filter-state", "away")
    card_of(page, prompt).get_by_text("Bring back").click()
    page.select_option("#filter-state", "")
    expect(card_of(page, prompt)).to_be_visible()


def test_the_filter(page, page_service):
    """Cards are found by words, by status and by model, also those that were not loaded yet."""
    prompt = named("a rare")
    expect(send(page, prompt)).to_have_attribute("data-state", "done")
    for n in range(32):
        fields = {"model": "gemini-3-pro-image-preview", "prompt": f"one of many {n}"}
        assert page.request.post("/images", data=fields).status == 202
    page.reload()
    loaded(page)
    expect(card_of(page, prompt)).to_have_count(0)
    page.fill("#filter-words", prompt.upper())
    expect(card_of(page, prompt)).to_be_visible()
    expect(page.locator(".card:visible")).to_have_count(1)
    page.select_option("#filter-model", "gemini-3-pro-image-preview")
    expect(page.locator("#nothing")).to_be_visible()
    page.get_by_text("Clear the filter").click()
    expect(page.locator(".card:visible").nth(20)).to_be_visible()
    page.select_option("#filter-state", "uncertain")
    expect(page.locator(".card[data-state=done]:visible")).to_have_count(0)


def test_all_results_are_saved_as_one_file(page):
    """The button "Save all" saves the files of all shown results as one archive, and that of a card its own."""
    prompt = named("saved")
    page.select_option("#field-num_outputs", "2")
    card = send(page, prompt)
    expect(card).to_have_attribute("data-state", "done")
    with page.expect_download() as of_card:
        card.get_by_text("Save all").click()
    page.fill("#filter-words", prompt)
    expect(page.locator(".card:visible")).to_have_count(1)
    with page.expect_download() as of_all:
        page.click("#save-all")

    assert len(ZipFile(of_card.value.path()).namelist()) == 2
    assert ZipFile(of_all.value.path()).namelist() == ZipFile(of_card.value.path()).namelist()


def test_the_lightbox(page):
    """A click shows an image large; the arrows lead through the shown results, Esc closes it, and it edits."""
    prompt = named("large")
    page.select_option("#field-num_outputs", "2")
    card = send(page, prompt)
    expect(card).to_have_attribute("data-state", "done")
    page.fill("#filter-words", prompt)
    card.locator(".picture").first.click()
    box = page.locator(".lightbox")
    expect(box.locator(".place")).to_have_text("1 of 2")
    page.keyboard.press("ArrowRight")
    expect(box.locator(".place")).to_have_text("2 of 2")
    expect(box.locator(".prompt")).to_have_text(prompt)
    page.wait_for_function("() => document.querySelector('.lightbox img').naturalWidth > 0")
    shot(page, "lightbox")
    found = violations(page)
    page.keyboard.press("Escape")
    expect(box).not_to_be_visible()
    expect(card.locator(".picture").first).to_be_focused()
    card.locator(".picture").last.click()
    box.get_by_text("Edit this").click()
    expect(page.locator(".references li[data-state=ready]")).to_have_count(1)
    expect(page.locator("#prompt")).to_be_focused()

    assert found == []


# Phone, language, accessibility.


def test_on_a_phone_the_new_card_scrolls_into_view(page):
    """Below a form that fills the screen, the card of a press is seen without scrolling."""
    page.set_viewport_size({"width": 360, "height": 640})
    press(page, named("on a phone"))
    expect(page.locator(".card").first).to_be_in_viewport()


def test_the_page_speaks_chinese(page_server, browser, page_service):
    """A browser that prefers Chinese gets the page in Chinese, and its language is declared."""
    with browser.new_context(base_url=page_server.url, locale="zh-CN") as context:
        page = context.new_page()
        page.goto("/")
        loaded(page)
        expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
        expect(page.locator("#send")).to_have_text("生成")
        expect(page.get_by_label("数量")).to_be_visible()
        page.fill("#prompt", "一只红狐")
        page.click("#send")
        card = page.locator(".card", has_text="一只红狐").first
        expect(card).to_have_attribute("data-state", "done")
        expect(card.get_by_text("再次使用")).to_be_visible()
        shot(page, "chinese")

        assert violations(page) == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ('{"model": "grok-imagine-image"}', "缺少“提示词”。"),
        (
            '{"model": "grok-imagine-image", "prompt": "x", "num_outputs": 9}',
            "“数量”不能为 9。可用：1 到 4 的整数。",
        ),
        ('{"model": "gpt-image-2", "prompt": "x", "resolution": {"width": 16, "height": 16}}', "总像素 655,360 到"),
        ('{"model": "grok-imagin-image", "prompt": "x"}', "此处没有模型"),
        (
            '{"model": "grok-imagine-image", "prompt": "x", "aspect_ratio": "1:1", "image_urls": ["https://a.b/c"]}',
            "“宽高比”和“输入图片”不能同时使用。",
        ),
        ("[]", "the body is not a JSON object"),
    ],
)  # fmt: skip
def test_the_server_is_worded_in_chinese(page_server, browser, request_, words):
    """What is wrong with a field is said in Chinese, with its values. What the page has no words for stays English."""
    with browser.new_context(base_url=page_server.url, locale="zh-CN") as context:
        page = context.new_page()
        page.route("**/images", lambda route: route.continue_(post_data=request_))
        page.goto("/")
        loaded(page)
        press(page, named("wrong"))
        expect(page.locator("#problems")).to_contain_text(words)


def test_a_file_of_a_wrong_kind_is_refused_in_chinese(page_server, browser):
    """The server takes no text as an input file, and the page says so in Chinese."""
    with browser.new_context(base_url=page_server.url, locale="zh-CN") as context:
        page = context.new_page()
        page.goto("/")
        loaded(page)
        page.set_input_files(
            "#field-image_urls", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"fox"}
        )
        expect(page.locator("#problems")).to_contain_text("a.txt 上传失败。不接受这种文件。")


def violations(page):
    """What axe finds against the page, in words."""
    return [
        f"{found['id']}: {node['html'][:200]} {node['any'] and node['any'][0]['message']}"
        for found in Axe().run(page).response["violations"]
        for node in found["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("size", "width"), [("wide", 1360), ("phone", 360)])
def test_no_state_is_hard_to_use(page, page_service, complaints, scheme, size, width):
    """axe finds no violation in any state: running, done, failed, uncertain, in the dialogs, and with a problem shown."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page_service.add_fault(Fault.fails(code="content_policy_violation", message="No."))
    send(page, named("fails")).locator(".message").wait_for()
    page_service.add_fault(Fault.cut_after("submit"))
    prompt = named("uncertain")
    press(page, prompt)
    card_of(page, prompt).locator(".message").wait_for()
    page_service.add_fault(Fault.status("file", 404, prompt="unsaved", times=9))
    expect(send(page, named("unsaved"))).to_have_attribute("data-state", "unsaved")
    page_service.add_fault(Fault.never_finishes(prompt="axe"))
    running = send(page, named("axe"))
    running.locator(".percent").wait_for()
    page.get_by_text("Details").first.click()
    inside(page, "form", "m.showProblems('One.', 'Two.')")
    found = {"cards": violations(page)}
    shot(page, f"states-{size}-{scheme}", full_page=True)
    page.click("#model")
    found["chooser"] = violations(page)
    shot(page, f"chooser-{size}-{scheme}")
    page.keyboard.press("Escape")
    choose(page, "kling-v3-image-to-video")
    page.click("#more summary")
    found["form"] = violations(page)
    shot(page, f"form-{size}-{scheme}")
    let_end(page_service)
    expect(running).to_have_attribute("data-state", "done")
    complaints.clear()

    assert found == {"cards": [], "chooser": [], "form": []}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_empty_page_invites(page, scheme):
    """A page without results has examples, which fill the form; axe finds no violation."""
    page.emulate_media(color_scheme=scheme)
    page.route("**/history*", lambda route: route.fulfill(json={"cards": [], "before": None}))
    page.reload()
    loaded(page)
    found = violations(page)
    shot(page, f"empty-{scheme}")
    page.get_by_text("A lighthouse in a storm").click()

    expect(page.locator("#prompt")).to_have_value("A lighthouse in a storm, oil on canvas")
    assert found == []


def test_a_page_of_many_cards(page):
    """Sixty cards fit beside the form."""
    for n in range(60 - min(60, page.locator(".card").count())):
        fields = {"model": "grok-imagine-image", "prompt": f"card {n}"}
        assert page.request.post("/images", data=fields).status == 202
    page.reload()
    loaded(page)
    page.click("#older")
    expect(page.locator(".card").nth(59)).to_be_attached()
    shot(page, "sixty")
