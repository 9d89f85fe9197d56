"""The stand-in service over plain HTTP. Each docstring is a claim about it."""

import asyncio
import base64
import email.utils
import io
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import asynccontextmanager

import aiohttp
import pytest
from loops import VirtualLoop
from PIL import Image

import foxapi_async.emulator
from foxapi_async import pytest_plugin
from foxapi_async.emulator import (
    Emulator,
    Fault,
    ThreadedEmulator,
    __main__,
    _images,
    _plain,
    _tasks,
    pixel_size,
)
from foxapi_async.emulator import _service as service_module
from foxapi_async.emulator import _uploads as uploads_module
from foxapi_async.emulator._scene import Picture, compose
from foxapi_async.emulator._sizes import asked_size

# By name, because the plugin may or may not be installed as an entry point here.
foxapi_emulator = pytest_plugin.foxapi_emulator

IMAGES = "/v1/images/generations"
GROK = {"model": "grok-imagine-image", "prompt": "a fox"}
PRO = {"model": "gemini-3-pro-image-preview", "prompt": "a fox"}
FLASH = {"model": "gemini-3.1-flash-image-preview", "prompt": "a fox"}


def client(emulator, **options):
    headers = {"Authorization": f"Bearer {emulator.key}"}
    return aiohttp.ClientSession(emulator.url, headers=headers, **options)


@asynccontextmanager
async def running(*faults, seconds=0.0, **options):
    async with Emulator(seconds=seconds, faults=faults, **options) as emulator, client(emulator) as http:
        yield emulator, http


async def submit(http, body=GROK, path=IMAGES, **options):
    async with http.post(path, json=body, **options) as reply:
        return reply.status, await reply.json(), reply.headers


async def get(http, path, **options):
    async with http.get(path, **options) as reply:
        return reply.status, await reply.read(), reply.headers


async def poll(http, task_id):
    status, body, _ = await get(http, f"/v1/tasks/{task_id}")
    return status, json.loads(body)


async def finished(http, body=GROK, path=IMAGES):
    _, accepted, _ = await submit(http, body, path)
    return (await poll(http, accepted["id"]))[1]


async def picture(http, body):
    task = await finished(http, body)
    _, data, headers = await get(http, task["results"][0]["url"])
    return Image.open(io.BytesIO(data)), headers["Content-Type"]


async def until(condition):
    while not condition():  # noqa: ASYNC110 (the server reports no acceptance)
        await asyncio.sleep(0.001)


# The life of a task


async def test_submit_reply():
    """The answer to a submit comes at once: a pending task and its estimate."""
    async with running(seconds=None) as (emulator, http):
        status, body, _ = await submit(http, GROK | {"num_outputs": 2})

    assert status == 200
    assert {
        "object": "image.generation.task",
        "type": "image",
        "status": "pending",
        "progress": 0,
    }.items() <= body.items()
    assert body["task_info"] == {"can_cancel": True, "estimated_time": 15}
    assert body["usage"] == {"credits_reserved": 10, "user_group": "default"}
    assert body["model"] == "grok-imagine-image"
    assert abs(body["created"] - time.time()) < 5
    assert body["id"].startswith(f"task-unified-{body['created']}-")
    assert (emulator.billed, emulator.billed_images) == (1, 2)


async def test_life_of_a_task():
    """A task is pending, then processing, then completed with one URL per output."""
    seen = []
    async with running(seconds=1000) as (emulator, http):
        _, accepted, _ = await submit(http, GROK | {"num_outputs": 3}, headers={"Idempotency-Key": "k"})
        for _ in range(3):
            seen.append((await poll(http, accepted["id"]))[1])
            task = emulator._service.tasks[accepted["id"]]
            task.accepted -= task.duration / 2
        view = emulator.tasks[accepted["id"]]

    assert [reply["status"] for reply in seen] == ["pending", "processing", "completed"]
    assert 40 <= seen[1]["progress"] <= 46
    assert seen[0]["results"] is None and seen[0]["error"] is None
    assert len({result["url"] for result in seen[-1]["results"]}) == 3
    assert seen[-1]["progress"] == 100
    assert ("k", len(seen), "completed", 3) == (
        view.idempotency_key,
        view.polls,
        view.status,
        view.num_outputs,
    )
    assert view.body == GROK | {"num_outputs": 3}
    assert [accepted["id"]] == list(emulator.tasks) and len(emulator.tasks) == 1


def test_durations_spread_around_the_median():
    """Durations are lognormal around the median, the same for the same seed, and never equal to the estimate."""
    drawn = sorted(_tasks.draw_duration(10.0, 0, number) for number in range(999))

    assert 9.5 < drawn[499] < 10.5
    assert 0.2 < math.log(drawn[838] / drawn[499]) < 0.3
    assert _tasks.draw_duration(10.0, 0, 7) == _tasks.draw_duration(10.0, 0, 7)
    assert _tasks.estimate(10.0) == 12 and isinstance(_tasks.estimate(10.0), int)
    assert _tasks.estimate(0.2) == 0.2


@pytest.mark.parametrize(
    ("style", "expected"),
    [("linear", [0, 0, 44, 99, 100]), ("steps", [0, 0, 25, 75, 100]), ("none", [0, 0, 0, 0, 100])],
)
async def test_progress_styles(style, expected):
    """Progress moves in small steps, in quarters, or not at all before the end."""
    async with running(seconds=1.0, progress=style) as (emulator, http):
        _, accepted, _ = await submit(http)
        task = emulator._service.tasks[accepted["id"]]
    moments = [task.accepted + task.duration * share for share in (0, 0.05, 0.5, 0.9999, 1.001)]

    assert expected == [_tasks.progress(task, moment, style) for moment in moments]


async def test_bad_options_are_refused_by_name():
    """An invalid duration and an unknown style of progress are refused when made."""
    with pytest.raises(ValueError, match="seconds=-1"):
        Emulator(seconds=-1)
    with pytest.raises(ValueError, match="progress='jumpy'"):
        Emulator(progress="jumpy")


async def test_never_finishes():
    """A task that never finishes is processing, below 100 %, at any time."""
    async with running(Fault.never_finishes()) as (emulator, http):
        _, accepted, _ = await submit(http)
        _, reply = await poll(http, accepted["id"])
        task = emulator._service.tasks[accepted["id"]]

    assert reply["status"] in ("pending", "processing")
    assert _tasks.status(task, 1e12) == "processing"
    assert _tasks.progress(task, 1e12) == 98
    assert math.inf == emulator.tasks[accepted["id"]].duration


async def test_fails():
    """A failed task carries the error object and no results; it was billed anyway."""
    async with running(Fault.fails("bad_taste", "no")) as (emulator, http):
        reply = await finished(http)

    assert (reply["status"], reply["results"]) == ("failed", None)
    assert reply["error"] == {"code": "bad_taste", "message": "no", "type": "task_error"}
    assert emulator.billed == 1


async def test_empty_results():
    """Completed may come without results, and with half the percentage, before the results appear."""
    async with running(Fault.empty_results(2)) as (_, http):
        _, accepted, _ = await submit(http)
        replies = [(await poll(http, accepted["id"]))[1] for _ in range(3)]

    assert [reply["status"] for reply in replies] == ["completed"] * 3
    assert [reply["results"] for reply in replies[:2]] == [None, None]
    assert [reply["progress"] for reply in replies] == [50, 50, 100]


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/v1/videos/generations", {"model": "google/veo-3.1[fast]", "prompt": "x"}, "video"),
        ("/v1/audios/generations", {"model": "speech-2.8-hd", "prompt": "x"}, "audio"),
        ("/v1/audio/generations", {"model": "suno-v4", "prompt": "x"}, "audio"),
        ("/v1/run/generations", {"model": "doc2x-v3", "pdf_url": "https://x/y.pdf"}, "document"),
    ],
)
async def test_other_media(path, body, kind):
    """Other endpoints make generic tasks of their own type with one result."""
    async with running() as (_, http):
        reply = await finished(http, body, path)
        status, _, _ = await get(http, reply["results"][0]["url"])

    assert (kind, f"{kind}.generation.task") == (reply["type"], reply["object"])
    assert (len(reply["results"]), status) == (1, 200)


async def test_results_without_url():
    """A language model answers with a completion, and a profile task with the profile's id."""
    async with running() as (_, http):
        chat = await finished(http, {"model": "gpt-5", "prompt": "hello"}, "/v1/llm/generations")
        profile = await finished(
            http, {"model": "phota-create-profile", "image_archive_url": "https://x/y.zip"}
        )

    assert chat["id"].startswith("task-llm-")
    assert chat["results"][0]["choices"][0]["message"]["content"] == "An answer to: hello"
    assert profile["results"][0]["result_type"] == "profile"


# Refusals


@pytest.mark.parametrize(
    "header",
    [{}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": "Bearer"}, {"Authorization": "Basic eA=="}],
)
@pytest.mark.parametrize("path", [IMAGES, "/v1/tasks/x", "/v1/models", "/v1/files/upload/stream", "/nowhere"])
async def test_key_is_demanded(path, header):
    """Every API route answers 401 in the envelope without the right key."""
    async with Emulator() as emulator, aiohttp.ClientSession(emulator.url, headers=header) as http:
        _, body, _ = await get(http, path)

    assert json.loads(body)["error"]["type"] == "authentication_error"


async def test_unknown_routes_and_tasks():
    """An unknown path or task is 404 in the envelope, a wrong method included."""
    async with running() as (_, http):
        replies = [
            await get(http, path) for path in ("/", IMAGES, "/v1/tasks/nope", "/files/results/nope/0.png")
        ]

    assert {404} == {status for status, _, _ in replies}
    assert {"not_found"} == {json.loads(body)["error"]["type"] for _, body, _ in replies}


@pytest.mark.parametrize(
    ("raw", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe{", "application/json", 400),
        (b'{"model": NaN}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 400),
        (b"[]", "application/json", 422),
    ],
)
async def test_bodies_that_are_not_json_objects(raw, content_type, status):
    """A body that is not JSON is 400; JSON that is not an object is 422."""
    headers = {"Content-Type": content_type}
    async with running() as (emulator, http), http.post(IMAGES, data=raw, headers=headers) as reply:
        body = await reply.json()

    assert (status, "invalid_request_error") == (reply.status, body["error"]["type"])
    assert emulator.billed == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "x"}, "model"),
        ({"model": 5, "prompt": "x"}, "model"),
        ({"model": "grok-imagine-image"}, "prompt"),
        (GROK | {"prompt": None}, "prompt"),
        (GROK | {"prompt": " "}, "prompt"),
        (GROK | {"num_outputs": 0}, "num_outputs"),
        (GROK | {"num_outputs": 5}, "num_outputs"),
        (GROK | {"num_outputs": True}, "num_outputs"),
        (GROK | {"num_outputs": None}, "num_outputs"),
        (GROK | {"aspect_ratio": "4:5"}, "aspect_ratio"),
        (GROK | {"aspect_ratio": "1:1", "image_urls": ["https://x/y.png"]}, "aspect_ratio"),
        (GROK | {"output_format": "gif"}, "output_format"),
        (GROK | {"image_urls": ["https://x/y.png"] * 4}, "image_urls"),
        (GROK | {"image_urls": "https://x/y.png"}, "image_urls"),
        (GROK | {"image_urls": [None]}, "image_urls"),
        (GROK | {"image_urls": ["./y.png"]}, "image_urls"),
        (GROK | {"resolution": "1K"}, "resolution"),
        (PRO | {"resolution": "512"}, "resolution"),
        (PRO | {"aspect_ratio": "8:1"}, "aspect_ratio"),
        (PRO | {"aspect_ratio": None}, "aspect_ratio"),
        (PRO | {"google_search": "yes"}, "google_search"),
        (PRO | {"num_outputs": 1}, "num_outputs"),
        (FLASH | {"aspect_ratio": "2:1"}, "aspect_ratio"),
        ({"model": "wan-2.7-image"}, "prompt"),
        ({"model": "wan-2.7-image", "prompt": "x", "num_outputs": 99}, "num_outputs"),
    ],
)
async def test_invalid_fields(body, field):
    """A field that the page does not allow is 422, and its name begins the message."""
    async with running() as (emulator, http):
        status, reply, _ = await submit(http, body)

    assert (status, reply["error"]["type"]) == (422, "invalid_request_error")
    assert reply["error"]["message"].startswith(f"{field}:")
    assert emulator.billed == 0


@pytest.mark.parametrize(
    "body",
    [
        GROK | {"num_outputs": 4, "aspect_ratio": "9:19.5", "output_format": None, "image_urls": None},
        GROK | {"aspect_ratio": None, "image_urls": ["https://x/y.png", "data:image/png;base64,AA=="]},
        GROK | {"aspect_ratio": "1:1", "image_urls": []},
        PRO | {"aspect_ratio": "match_input_image", "resolution": "4K", "google_search": None},
        FLASH | {"aspect_ratio": "8:1", "resolution": "0.5K", "image_search": True, "google_search": False},
        {"model": "gpt-image-2", "prompt": "x", "background": "opaque"},
        {"model": "house-model", "anything": 1, "prompt": "x"},
    ],
)
async def test_valid_fields(body):
    """Values that the pages allow are accepted; for other models only the prompt is checked."""
    async with running(models=["house-model"]) as (_, http):
        status, _, _ = await submit(http, body)

    assert status == 200


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (IMAGES, "no-such-model"),
        ("/v1/videos/generations", "no-such-model"),
        ("/v1/videos/generations", "gemini-3-pro-image-preview"),
    ],
)
async def test_unknown_model(path, model):
    """A model that does not exist, or not on this endpoint, has its own code."""
    async with running() as (_, http):
        status, reply, _ = await submit(http, {"model": model, "prompt": "x"}, path)

    assert (status, reply["error"]["code"]) == (422, "model_not_found")


async def test_unsupported_advanced_option():
    """An advanced option of the sister model has its own code."""
    async with running() as (_, http):
        _, reply, _ = await submit(http, PRO | {"image_search": True})

    assert reply["error"]["code"] == "unsupported_advanced_options"


# Pictures


@pytest.mark.parametrize(
    ("ratio", "resolution", "size"),
    [
        ("1:1", "512", (512, 512)),
        ("1:1", "0.5K", (512, 512)),
        ("1:1", "1K", (1024, 1024)),
        ("1:1", "2K", (2048, 2048)),
        ("1:1", "4K", (4096, 4096)),
        ("16:9", "1K", (1408, 792)),
        ("1:8", "512", (184, 1472)),
    ],
)
def test_pixel_size(ratio, resolution, size):
    """Ratio and resolution give multiples of eight."""
    assert size == pixel_size(ratio, resolution)


@pytest.mark.parametrize(
    "ratio", ["2:1", "20:9", "19.5:9", "9:19.5", "9:20", "1:8", "8:1", "21:9", "4:5", "3:2"]
)
@pytest.mark.parametrize("resolution", ["512", "1K", "4K"])
def test_pixel_size_keeps_ratio_and_area(ratio, resolution):
    """The ratio is right within half a percent, the area within eight."""
    width, height = pixel_size(ratio, resolution)
    wide, high = map(float, ratio.split(":"))
    edge = pixel_size("1:1", resolution)[0]

    assert 0.995 < width / height / (wide / high) < 1.005
    assert 0.92 < width * height / edge**2 < 1.09
    assert width % 8 == 0 == height % 8


@pytest.mark.parametrize(
    ("ratio", "resolution"), [("1:1", "8K"), ("wide", "1K"), ("0:1", "1K"), ("1:21", "1K")]
)
def test_pixel_size_refuses(ratio, resolution):
    """An invalid ratio or resolution is refused."""
    with pytest.raises(ValueError, match="="):
        pixel_size(ratio, resolution)


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ({}, (1024, 1024)),
        ({"resolution": "1536x1024"}, (1536, 1024)),
        ({"resolution": {"width": 640, "height": 480}}, (640, 480)),
        ({"resolution": {"width": 10**9, "height": 480}}, (1024, 1024)),
        ({"image_size": "landscape_4_3"}, (1024, 768)),
        ({"image_size": 768}, (768, 768)),
        ({"size": "auto", "quality": "2K"}, (2048, 2048)),
        ({"size": "1:999"}, (1024, 1024)),
        ({"aspect_ratio": "match_input_image", "image_urls": ["wide"]}, (1456, 728)),
        ({"aspect_ratio": "match_input_image", "image_urls": ["far"]}, (1024, 1024)),
        ({"aspect_ratio": "match_input_image"}, (1024, 1024)),
    ],
)
def test_sizes_in_every_dialect(body, size):
    """The size is found in any of the models' forms, else it is a square of 1K."""
    assert size == asked_size(body, {"wide": (200, 100)}.get)


@pytest.mark.parametrize(
    ("body", "size", "kind"),
    [
        (GROK, (1024, 1024), "image/jpeg"),
        (GROK | {"aspect_ratio": "20:9", "output_format": "webp"}, pixel_size("20:9"), "image/webp"),
        (PRO | {"aspect_ratio": "3:4", "resolution": "2K"}, pixel_size("3:4", "2K"), "image/png"),
        (FLASH | {"resolution": "512", "output_format": "jpg"}, (512, 512), "image/jpeg"),
    ],
)
async def test_pictures_have_the_size_and_format_asked_for(body, size, kind):
    """The file is a real picture of exactly the requested size and format."""
    async with running() as (_, http):
        image, content_type = await picture(http, body)

    assert (size, kind, kind) == (image.size, content_type, f"image/{image.format.lower()}")


async def test_pictures_differ():
    """Every prompt, output and edit looks different; the same request looks the same."""
    asked = [GROK, GROK | {"prompt": "a hen"}, GROK | {"image_urls": ["https://x/y.png"]}, GROK]
    async with running() as (_, http):
        first, hen, edit, again = [(await picture(http, body))[0].convert("RGB").tobytes() for body in asked]
        pair = await finished(http, GROK | {"num_outputs": 2})
        one, two = [(await get(http, result["url"]))[1] for result in pair["results"]]

    assert len({first, hen, edit, one}) == 4 and one != two
    assert first == again


@pytest.mark.parametrize("painter", ["pillow", "plain"])
@pytest.mark.parametrize(
    "prompt",
    ["", "x", "狐狸" * 200, "🦊 \ud800 \x00\n", "incomprehensibilities" * 9, "a quick brown fox " * 90],
)
def test_any_prompt_can_be_painted(painter, prompt, monkeypatch):
    """Every prompt, however long or strange, can be painted."""
    if painter == "plain":
        monkeypatch.setitem(sys.modules, "PIL.Image", None)
    data = _images.render(
        _images.Picture(prompt=prompt, caption="c", index=0, width=184, height=64, format="png")
    )
    monkeypatch.undo()
    image = Image.open(io.BytesIO(data))
    image.load()

    assert image.size == (184, 64)


def test_the_plain_painter_paints_a_gradient():
    """Without Pillow a picture goes from its upper colour to its lower one; every prompt has its own."""
    first, second = (
        Picture(prompt=prompt, caption="", index=0, width=30, height=512, format="png") for prompt in "ab"
    )
    scene = compose(first)
    image = Image.open(io.BytesIO(_plain.paint(first, scene))).convert("RGB")

    assert (30, 512) == image.size
    assert [scene.top, scene.bottom] == [image.getpixel((15, 0)), image.getpixel((15, 511))]
    assert _plain.paint(first, scene) != _plain.paint(second, compose(second))


async def test_png_instead_of_jpeg_without_pillow(monkeypatch, caplog):
    """Without Pillow every picture is PNG of the right size, which the log says once."""
    _images._say_once.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with caplog.at_level(logging.WARNING, "foxapi_async.emulator"):
        async with running() as (_, http):
            replies = [await finished(http, GROK | {"aspect_ratio": "16:9"}) for _ in range(2)]
            _, data, headers = await get(http, replies[0]["results"][0]["url"])
        assert _images.measure(b"\xff\xd8\xff nothing") is None

    assert headers["Content-Type"] == "image/png"
    assert pixel_size("16:9") == _images.measure(data)
    assert len(caplog.records) == 1
    assert replies[0]["results"][0]["url"].endswith(".png")


def test_measure():
    """A picture's size is read from the file; a file that is not a picture has no size."""
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, "JPEG")

    assert _images.measure(buffer.getvalue()) == (30, 20)
    assert _images.measure(b"nothing") is None


async def test_gallery_is_bounded(monkeypatch):
    """The cache of pictures drops the oldest, and does not paint a cached picture again."""
    painted = []
    monkeypatch.setattr(_images, "render", lambda item: painted.append(item) or bytes(40))
    monkeypatch.setattr(_images, "_MEMORY_BYTES", 100)
    gallery = _images.Gallery()
    items = [
        _images.Picture(prompt=str(n), caption="", index=0, width=8, height=8, format="png") for n in range(3)
    ]
    await asyncio.gather(gallery.get(items[0]), gallery.get(items[0]))
    for item in (items[0], items[1], items[2], items[2], items[0]):
        await gallery.get(item)
    gallery.close()

    assert [items[0], items[0], items[1], items[2], items[0]] == painted


def test_load_default_is_the_last_resort(monkeypatch):
    """If no font with all scripts is installed, the built-in one is used."""
    from foxapi_async.emulator import _pillow

    monkeypatch.setattr(_pillow, "_WIDE_FACES", ("no such face.ttf",))
    _pillow._font.cache_clear()

    assert _pillow._font(12, wide=True).getlength("狐") > 0


def test_wide_face_is_used_when_installed(monkeypatch):
    """A font that can be loaded is used for prompts beyond Latin."""
    from foxapi_async.emulator import _pillow

    face = object()
    monkeypatch.setattr(_pillow.ImageFont, "truetype", lambda *_: face)
    _pillow._font.cache_clear()

    assert face is _pillow._font(13, wide=True)
    _pillow._font.cache_clear()


# Files


async def test_files_need_no_key_and_allow_ranges():
    """Files are served without a key; a range is a range of the same file only."""
    async with running() as (emulator, http):
        url = (await finished(http))["results"][0]["url"]
        async with aiohttp.ClientSession() as bare:
            status, whole, headers = await get(bare, url)
            part = await get(bare, url, headers={"Range": "bytes=10-19", "If-Range": headers["ETag"]})
            tail = await get(bare, url, headers={"Range": "bytes=-5"})
            beyond = await get(bare, url, headers={"Range": f"bytes={len(whole)}-"})
            unreadable = await get(bare, url, headers={"Range": "lines=1"})
            changed = await get(bare, url, headers={"Range": "bytes=10-", "If-Range": '"other"'})
            async with bare.head(url) as head:
                length = head.content_length

    assert (status, headers["Accept-Ranges"]) == (200, "bytes")
    assert (206, whole[10:20], f"bytes 10-19/{len(whole)}") == (*part[:2], part[2]["Content-Range"])
    assert (206, whole[-5:]) == tail[:2]
    assert (416, f"bytes */{len(whole)}") == (beyond[0], beyond[2]["Content-Range"])
    assert (200, whole) == unreadable[:2] == changed[:2]
    assert len(whole) == length
    assert {False} == {seen.authorized for seen in emulator.requests if seen.path.startswith("/files/")}


async def test_files_that_are_not_there():
    """A result is 404 before the end of the task, under another name, and a day after."""
    async with running(seconds=5) as (emulator, http):
        _, accepted, _ = await submit(http)
        task = emulator._service.tasks[accepted["id"]]
        early = await get(http, f"/files/results/{task.id}/0.jpg")
        task.accepted -= 100
        there = await get(http, f"/files/results/{task.id}/0.jpg")
        other = await get(http, f"/files/results/{task.id}/1.jpg")
        task.accepted -= 24 * 3600
        late = await get(http, f"/files/results/{task.id}/0.jpg")

    assert [reply[0] for reply in (early, there, other, late)] == [404, 200, 404, 404]


def png(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["stream", "base64", "data url"])
async def test_upload(form):
    """An upload is returned whole from its URL, and an edit can match its shape."""
    data = png(300, 200)
    async with running() as (_, http):
        if form == "stream":
            fields = aiohttp.FormData({"auto_cleanup": "true", "file_name": "狐/fox 1.png"})
            fields.add_field("file", data, filename="x.png", content_type="image/png")
            options = {"data": fields}
        else:
            text = base64.b64encode(data).decode()
            prefix = "data:image/png;base64," if form == "data url" else ""
            options = {"json": {"file_data": prefix + text, "file_name": "fox 1.png"}}
        async with http.post(
            f"/v1/files/upload/{'stream' if form == 'stream' else 'base64'}", **options
        ) as reply:
            body = await reply.json()
        status, fetched, headers = await get(http, body["url"])
        edit, _ = await picture(
            http, PRO | {"aspect_ratio": "match_input_image", "image_urls": [body["url"]]}
        )

    assert {"id", "filename", "url", "size", "created"} == body.keys()
    assert ("fox 1.png", len(data)) == (body["filename"], body["size"])
    assert (200, data, "image/png") == (status, fetched, headers["Content-Type"])
    assert pixel_size("3:2") == edit.size


async def upload(http, kind="base64", **body):
    async with http.post(f"/v1/files/upload/{kind}", json=body) as reply:
        return reply.status, await reply.json()


async def test_upload_by_url():
    """An upload by URL copies a file uploaded here and fetches nothing else."""
    async with running() as (_, http):
        _, first = await upload(http, file_data="R0lGODlh")
        status, second = await upload(http, "url", url=first["url"])
        foreign, _ = await upload(http, "url", url="https://example.com/x.png")
        data = [await get(http, reply["url"]) for reply in (first, second)]

    assert (status, foreign) == (200, 400)
    assert first["id"] != second["id"] and second["filename"] == "upload.bin"
    assert data[0][1] == data[1][1] == b"GIF89a" and data[0][2]["Content-Type"] == "image/gif"


@pytest.mark.parametrize("text", [None, "", "!!!", "data:image/png;base64,!!!"])
async def test_upload_refuses_what_is_not_base64(text):
    """Data that cannot be decoded is 400."""
    async with running() as (_, http):
        status, body = await upload(http, file_data=text)

    assert (status, body["error"]["type"]) == (400, "invalid_request_error")


async def test_upload_names():
    """An upload without a name is named after its type; a path is cut to its last part."""
    async with running() as (_, http):
        names = [
            (await upload(http, **body))[1]["filename"]
            for body in (
                {"file_data": "data:image/webp;base64,UklGRgAAAABXRUJQ"},
                {"file_data": "data:;base64,AAAA"},
                {"file_data": "AAAA", "file_name": "..\\..\\a.png"},
                {"file_data": "AAAA", "file_name": "/.."},
            )
        ]

    assert names == ["upload.webp", "upload.bin", "a.png", "upload.bin"]
    assert uploads_module.content_type(b"RIFF\0\0\0\0WEBP") == "image/webp"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
        ),
    ],
)
async def test_stream_upload_refuses(content_type, body):
    """A stream upload that is not a form with a file is 400."""
    async with running() as (_, http):
        headers = {"Content-Type": content_type}
        async with http.post("/v1/files/upload/stream", data=body, headers=headers) as reply:
            error = (await reply.json())["error"]

    assert (reply.status, error["type"]) == (400, "invalid_request_error")


async def test_upload_limits(monkeypatch):
    """A file too large is 413; a full store drops the oldest, or is 403 if it may not."""
    monkeypatch.setattr(uploads_module, "MOST_BYTES", 30)
    monkeypatch.setattr(uploads_module, "_QUOTA_BYTES", 50)
    async with running() as (_, http):
        large, error = await upload(http, file_data="A" * 400)
        fields = aiohttp.FormData()
        fields.add_field("file", bytes(40), filename="x")
        async with http.post("/v1/files/upload/stream", data=fields) as reply:
            streamed = reply.status
        _, first = await upload(http, file_data="A" * 40)
        full, _ = await upload(http, file_data="A" * 40, auto_cleanup=False)
        evicting, _ = await upload(http, file_data="A" * 40)
        gone, _, _ = await get(http, first["url"])

    assert (large, error["error"]["type"]) == (413, "file_too_large_error")
    assert (streamed, full, evicting, gone) == (413, 403, 200, 404)


async def test_bodies_are_bounded(monkeypatch):
    """A body beyond all limits is 413 in the envelope."""
    monkeypatch.setattr("foxapi_async.emulator._server._MOST_BODY_BYTES", 1000)
    async with running() as (_, http):
        status, body, _ = await submit(http, GROK | {"prompt": "x" * 2000})

    assert (status, body["error"]["type"]) == (413, "file_too_large_error")


async def test_accounts_and_models():
    """The lists of models and credits exist."""
    async with running(models=["house-model"]) as (_, http):
        await submit(http)
        models = json.loads((await get(http, "/v1/models"))[1])
        credits_ = json.loads((await get(http, "/v1/account/credits"))[1])

    assert {"grok-imagine-image", "house-model"} <= {row["id"] for row in models["data"]}
    assert credits_["credits_used"] == 5


# Faults


async def test_status_with_retry_after():
    """A scripted refusal has its status, type and Retry-After, for its number of times, and bills nothing."""
    date = email.utils.formatdate(0, usegmt=True)
    faults = [
        Fault.status("submit", 429, retry_after=1, times=2),
        Fault.status("submit", 503, retry_after=date),
    ]
    async with running(*faults) as (emulator, http):
        replies = [await submit(http) for _ in range(4)]

    assert [status for status, _, _ in replies] == [429, 429, 503, 200]
    assert ["1", "1", date, None] == [headers.get("Retry-After") for _, _, headers in replies]
    assert replies[0][1]["error"]["type"] == "rate_limit_error"
    assert (emulator.billed, emulator.faults_fired) == (1, 3)


async def test_status_that_bills():
    """A refusal may come after the bill, and with an edge's own body."""
    edge = Fault.status("submit", 403, body=b"error code: 1010", content_type="text/plain")
    async with running(Fault.status("submit", 500, code="x", accepted=True), edge) as (emulator, http):
        status, body, _ = await submit(http)
        async with http.post(IMAGES, json=GROK) as reply:
            text = await reply.text()

    assert (
        status,
        body["error"]["type"],
        body["error"]["code"],
        emulator.billed,
    ) == (500, "server_error", "x", 1)
    assert (reply.status, text) == (403, "error code: 1010")


@pytest.mark.parametrize(
    ("fault", "billed"), [(Fault.cut_before("submit"), 0), (Fault.cut_after("submit"), 1)]
)
async def test_cuts(fault, billed):
    """A connection is cut before or after the bill, and never with an answer."""
    async with running(fault) as (emulator, http):
        with pytest.raises(aiohttp.ClientConnectionError):
            await submit(http)
        assert billed == emulator.billed

        await submit(http)

    assert billed + 1 == emulator.billed
    assert emulator.connections == 2


async def test_hang():
    """A hanging submit is billed, never answers, and does not delay the end."""
    async with running(Fault.hang("submit")) as (emulator, http):
        waiting = asyncio.create_task(submit(http))
        await until(lambda: emulator.billed)
        began = time.monotonic()
    with pytest.raises(aiohttp.ClientError):
        await waiting

    assert time.monotonic() - began < 1


@pytest.mark.parametrize("virtual", [False, True])
def test_end_with_open_connections(virtual):
    """The end comes at once, even if clients hold connections open or wait."""

    async def scenario():
        async with aiohttp.ClientSession() as http:
            async with Emulator(faults=[Fault.hang("submit"), Fault.slow("submit", 60)]) as emulator:
                headers = {"Authorization": f"Bearer {emulator.key}"}
                url = emulator.url + IMAGES
                waiting = [asyncio.create_task(submit(http, path=url, headers=headers)) for _ in range(3)]
                await until(lambda: emulator.billed == 3)
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                before = asyncio.get_running_loop().time()
            took = asyncio.get_running_loop().time() - before
            return took, await asyncio.gather(*waiting, return_exceptions=True), emulator

    with asyncio.Runner(loop_factory=VirtualLoop if virtual else asyncio.SelectorEventLoop) as runner:
        took, outcomes, emulator = runner.run(scenario())

    assert took < 0.5
    assert sum(isinstance(outcome, aiohttp.ClientConnectionError) for outcome in outcomes) == 2
    assert (emulator.billed, emulator.connections) == (3, 3)


async def test_slow():
    """A slow submit is billed at once and answered later."""
    async with running(Fault.slow("submit", 0.05)) as (emulator, http):
        waiting = asyncio.create_task(submit(http))
        await until(lambda: emulator.billed)
        assert not waiting.done()

        status, _, _ = await waiting

    assert status == 200


async def test_garbage():
    """Garbage is a success with an unreadable body; it is billed."""
    faults = [Fault.garbage("submit"), Fault.html("submit"), Fault.garbage("submit", body=b"", status=204)]
    async with running(*faults) as (emulator, http):
        replies = []
        for _ in faults:
            async with http.post(IMAGES, json=GROK) as reply:
                replies.append((reply.status, reply.content_type, await reply.read()))

    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(replies[0][2])
    assert [status for status, _, _ in replies] == [200, 200, 204]
    assert replies[1][1] == "text/html"
    assert emulator.billed == 3


async def test_not_found_for_a_while():
    """A task may be unknown for some polls, which count as polls."""
    async with running(Fault.not_found("poll", 2)) as (emulator, http):
        _, accepted, _ = await submit(http)
        statuses = [(await poll(http, accepted["id"]))[0] for _ in range(3)]

    assert statuses == [404, 404, 200]
    assert emulator.tasks[accepted["id"]].polls == 3


async def test_file_faults():
    """A file may break off, be a page, be gone, or come slowly in pieces."""
    faults = [Fault.short_body(), Fault.html("file"), Fault.status("file", 404), Fault.drip("file", 0.02)]
    async with running(*faults) as (_, http):
        url = (await finished(http))["results"][0]["url"]
        with pytest.raises(aiohttp.ClientPayloadError):
            await get(http, url)
        page, gone, drips, whole = [await get(http, url) for _ in range(4)]

    assert (page[0], page[2]["Content-Type"]) == (200, "text/html")
    assert gone[0] == 404
    assert whole[:2] == drips[:2] and whole[2]["Content-Type"] == drips[2]["Content-Type"]


async def test_stale():
    """A kept connection is closed when the next request on it arrives; that request is recorded, and not accepted."""
    async with running(Fault.stale("submit")) as (emulator, http):
        status, _, _ = await submit(http)
        http._retry_connection = False
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await get(http, "/v1/models")
        await submit(http)

    assert (200, 2) == (status, emulator.billed)
    assert [1, 1, 2] == [record.connection for record in emulator.requests]


async def test_huge():
    """A body that is too large is still the normal one for a client that reads it all."""
    async with running(Fault.huge("submit", size=3_000_000)) as (emulator, http):
        _, accepted, headers = await submit(http)

    assert list(emulator.tasks) == [accepted["id"]]
    assert 3_000_000 < int(headers["Content-Length"]) < 3_001_000


@pytest.mark.thorough
async def test_bomb():
    """A bomb is small on the wire, and names its encoding."""
    async with running(Fault.bomb("poll"), Fault.bomb("file", size=1_000_000)) as (_, http):
        _, accepted, _ = await submit(http)
        async with http.get(f"/v1/tasks/{accepted['id']}") as reply:
            unpacked = await reply.read()
        state = json.loads(unpacked)
        _, image, _ = await get(http, state["results"][0]["url"])

    assert ("gzip", "completed") == (reply.headers["Content-Encoding"], state["status"])
    assert int(reply.headers["Content-Length"]) < 100_000
    assert len(unpacked) > 64 * 1024 * 1024
    assert image.startswith(b"\xff\xd8") and image.endswith(b" " * 1_000_000)


async def test_drip_of_nothing():
    """A body without bytes can be sent in pieces as well."""
    async with running(Fault.drip("file", 0), Fault.short_body("poll")) as (_, http):
        _, accepted, _ = await submit(http)
        with pytest.raises(aiohttp.ClientPayloadError):
            await poll(http, accepted["id"])
        url = (await poll(http, accepted["id"]))[1]["results"][0]["url"]
        status, body, _ = await get(http, url, headers={"Range": "bytes=99999999-"})

    assert (status, body) == (416, b"")


async def test_redirect():
    """A redirect points to another address and accepts nothing."""
    fault = Fault.redirect("submit", "http://example.com/v1")
    async with (
        running(fault) as (emulator, http),
        http.post(IMAGES, json=GROK, allow_redirects=False) as reply,
    ):
        location = reply.headers["Location"]

    assert (reply.status, location, emulator.billed) == (307, "http://example.com/v1", 0)


async def test_rate_is_a_share():
    """A rate applies to that share of the requests, the same ones for the same seed."""
    runs = []
    for _ in range(2):
        async with running(Fault.rate("poll", 0.5)) as (emulator, http):
            _, accepted, _ = await submit(http)
            runs.append([(await poll(http, accepted["id"]))[0] for _ in range(60)])

    assert runs[0] == runs[1]
    assert 15 < runs[0].count(503) < 45
    assert runs[0].count(503) == emulator.faults_fired


async def test_upload_faults():
    """Uploads have faults as well."""
    async with running(Fault.cut_before("upload"), Fault.status("upload", 429)) as (_, http):
        with pytest.raises(aiohttp.ClientConnectionError):
            await upload(http, file_data="AAAA")
        statuses = [(await upload(http, file_data="AAAA"))[0] for _ in range(2)]

    assert statuses == [429, 200]


async def test_aim():
    """A fault applies only to the model and prompt that it names, after the requests that it lets pass."""
    fault = Fault.status("submit", 500, model="grok", prompt="hen", after=1, times=None)
    async with running(fault) as (_, http):
        bodies = [GROK, GROK | {"prompt": "hen"}, PRO | {"prompt": "hen"}, GROK | {"prompt": "a hen"}]
        statuses = [(await submit(http, body))[0] for body in bodies]

    assert statuses == [200, 200, 200, 500]


async def test_add_fault():
    """A fault can be added to the script while the emulator runs."""
    async with running() as (emulator, http):
        statuses = [(await submit(http))[0]]
        emulator.add_fault(Fault.status("submit", 402))
        statuses += [(await submit(http))[0] for _ in range(2)]

    assert statuses == [200, 402, 200]


def test_after_counts_whatever_stands_before():
    """Every matching fault counts every request, so `after` is a position in the script."""
    from foxapi_async.emulator._script import Script

    script = Script((Fault.status("poll", 500), Fault.status("poll", 503, after=2)), 0, lambda: 0.0)
    taken = [script.take("poll") for _ in range(4)]

    assert [fault and fault.http_status for fault in taken] == [500, None, 503, None]


@pytest.mark.parametrize(
    "wrong",
    [
        {"on": "moon", "kind": "cut"},
        {"on": "poll", "kind": "moon"},
        {"on": "task", "kind": "status"},
        {"on": "result", "kind": "cut"},
        {"on": "poll", "kind": "cut", "times": 0},
        {"on": "poll", "kind": "cut", "after": -1},
        {"on": "poll", "kind": "cut", "probability": 2},
        {"on": "poll", "kind": "cut", "since": 2, "until": 2},
    ],
)
def test_impossible_faults(wrong):
    """A fault that could never apply is refused when it is made."""
    with pytest.raises(ValueError, match=r"no such fault|must be|must lie"):
        Fault(**wrong)


REQUESTS = "on= takes 'submit', 'poll', 'upload', 'file', 'other', 'all'"


@pytest.mark.parametrize(
    ("on", "kind", "advice"),
    [
        ("download", "status", f"{REQUESTS}; did you mean 'file'?"),
        ("Polls", "cut", f"{REQUESTS}; did you mean 'poll'?"),
        ("moon", "cut", REQUESTS),
        ("task", "status", REQUESTS),
        ("get", "altered", f"{REQUESTS}, 'result'; did you mean 'poll'?"),
        ("poll", "never", "on= takes 'task'"),
    ],
)
def test_a_wrong_occasion_is_answered_with_the_right_ones(on, kind, advice):
    """The message names the occasions of this kind of fault, and the one that was probably meant."""
    with pytest.raises(ValueError, match="no such fault") as refused:
        Fault(on=on, kind=kind)

    assert f"no such fault: {kind!r} on={on!r}; {advice}" == str(refused.value)


def test_a_wrong_kind_is_answered_with_the_right_ones():
    """The message names all kinds of fault, and the one that was probably meant."""
    with pytest.raises(
        ValueError, match=r"kind='statuses'; the kinds are 'status', .*; did you mean 'status'\?"
    ):
        Fault(on="poll", kind="statuses")


# Idempotency, records, time


async def test_idempotency_is_off():
    """By default the same key twice makes two tasks and two bills."""
    async with running() as (emulator, http):
        replies = [await submit(http, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert 2 == emulator.billed == len({body["id"] for _, body, _ in replies})


async def test_idempotency():
    """When on, the same key and body give the same task and one bill; another body is refused."""
    async with running(idempotent=True) as (emulator, http):
        headers = {"Idempotency-Key": "k"}
        first, second = [await submit(http, headers=headers) for _ in range(2)]
        status, other, _ = await submit(http, GROK | {"prompt": "y"}, headers=headers)
        await submit(http)

    assert first[1]["id"] == second[1]["id"]
    assert tuple(reply[2].get("idempotency-replayed") for reply in (first, second)) == (None, "true")
    assert (status, other["error"]["code"]) == (422, "idempotency_key_reused")
    assert emulator.billed == 2


# Tasks of another emulator


async def test_an_adopted_task_is_finished_under_its_id():
    """A task of another emulator continues here under its own id, and its pictures can be fetched."""
    async with running() as (emulator, http):
        emulator.adopt("task-unified-1-fox", GROK | {"num_outputs": 2})
        _, reply = await poll(http, "task-unified-1-fox")
        picture = await get(http, reply["results"][1]["url"].removeprefix(emulator.url))

    assert ("task-unified-1-fox", "completed") == (reply["id"], reply["status"])
    assert 200 == picture[0]


async def test_an_adopted_task_is_not_billed():
    """The emulator that accepted a task has billed it; the one that adopts it bills nothing."""
    async with running() as (emulator, http):
        emulator.adopt("task-unified-1-fox", GROK, idempotency_key="k")
        await submit(http)

    assert (1, 1) == (emulator.billed, emulator.billed_images)
    assert "k" == emulator.tasks["task-unified-1-fox"].idempotency_key


async def test_an_adopted_task_begins_when_it_is_adopted():
    """For any age of its id, a task's duration counts from the moment when it is adopted."""
    async with running(seconds=1000) as (emulator, http):
        emulator.adopt("task-unified-1-fox", GROK)
        _, reply = await poll(http, "task-unified-1-fox")

    assert "pending" == reply["status"]


async def test_a_fault_strikes_an_adopted_task():
    """The script decides the end of an adopted task like that of any other."""
    async with running(Fault.fails("generation_failed")) as (emulator, http):
        emulator.adopt("task-unified-1-fox", GROK)
        _, reply = await poll(http, "task-unified-1-fox")

    assert "failed" == reply["status"]


async def test_the_key_of_an_adopted_task_is_known():
    """An emulator with idempotency keys finds an adopted task by its key."""
    async with running(idempotent=True) as (emulator, http):
        emulator.adopt("task-unified-1-fox", GROK, idempotency_key="k")
        _, reply, _ = await submit(http, headers={"Idempotency-Key": "k"})

    assert ("task-unified-1-fox", 0) == (reply["id"], emulator.billed)


@pytest.mark.parametrize(
    ("task_id", "body", "path", "words"),
    [
        ("task-known", GROK, IMAGES, "has a task 'task-known' already"),
        ("task-new", GROK, "/v1/foxes", "/v1/foxes is not a generation endpoint"),
        ("task-new", GROK | {"num_outputs": 9}, IMAGES, "num_outputs"),
    ],
)
async def test_what_cannot_be_adopted(task_id, body, path, words):
    """An id in use, and a request that would be refused, are a ValueError, and nothing is changed."""
    async with running() as (emulator, _):
        emulator.adopt("task-known", GROK)
        with pytest.raises(ValueError, match=words):
            emulator.adopt(task_id, body, path=path)

    assert ["task-known"] == list(emulator.tasks)


def test_an_emulator_adopts_while_it_runs():
    """Before it is entered an emulator has no clock, so it adopts nothing."""
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="before it adopts tasks"):
        emulator.adopt("task-unified-1-fox", GROK)

    assert 0 == len(emulator.tasks)


async def test_records():
    """Every request is recorded with the names of its headers and its connection, never with the key."""
    async with running() as (emulator, http):
        await submit(http)
        await get(http, "/v1/models?x=1")
    first, second = emulator.requests

    assert (first.method, first.path, first.authorized, first.connection) == ("POST", IMAGES, True, 1)
    assert "authorization" in first.headers
    assert second.path == "/v1/models?x=1" and first.when <= second.when
    assert (second.connection, emulator.connections) == (1, 1)
    assert emulator.key not in repr(emulator.requests)


async def test_records_are_bounded(monkeypatch):
    """If there are too many records, the older half is dropped."""
    monkeypatch.setattr(service_module, "_MOST_RECORDS", 4)
    async with running() as (emulator, http):
        for _ in range(5):
            await get(http, "/v1/models")

    assert len(emulator.requests) == 3


def test_time_is_the_loop_s():
    """On a loop whose time jumps, an hour passes at once, and dates agree with it."""

    async def scenario():
        loop = asyncio.get_running_loop()
        async with running(Fault.hang("poll", after=1), seconds=3600) as (_, http):
            _, accepted, first = await submit(http)
            await asyncio.sleep(7200)
            status, reply = await poll(http, accepted["id"])
            file_status, _, second = await get(http, reply["results"][0]["url"])
            hanging = asyncio.create_task(poll(http, accepted["id"]))
            await asyncio.sleep(1)
        with pytest.raises(aiohttp.ClientError):
            await hanging
        dates = [
            email.utils.parsedate_to_datetime(headers["Date"]).timestamp() for headers in (first, second)
        ]
        return loop.time(), (status, reply["status"], file_status), dates, accepted["created"]

    began = time.monotonic()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        now, outcome, (first, second), created = runner.run(scenario())

    assert outcome == (200, "completed", 200)
    assert 7201 <= now < 7202
    assert first == created and 7200 <= second - first <= 7201
    assert time.monotonic() - began < 5


def test_uvloop():
    """The emulator runs on uvloop."""
    uvloop = pytest.importorskip("uvloop")

    async def scenario():
        async with running(Fault.cut_after("submit"), Fault.hang("file")) as (emulator, http):
            with pytest.raises(aiohttp.ClientConnectionError):
                await submit(http)
            reply = await finished(http)
            hanging = asyncio.create_task(get(http, reply["results"][0]["url"]))
            await asyncio.sleep(0.01)
        with pytest.raises(aiohttp.ClientError):
            await hanging
        return emulator

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        emulator = runner.run(scenario())

    assert [task.status for task in emulator.tasks.values()] == ["completed", "completed"]


# Starting and stopping


async def test_runs_once():
    """An emulator has no address before it runs, and runs once."""
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="no address"):
        _ = emulator.url
    async with emulator:
        assert emulator.url.startswith("http://127.0.0.1:")
        assert emulator.key.startswith("sk-")
        with pytest.raises(RuntimeError, match="once"):
            await emulator.__aenter__()


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:"), ("::", "http://[::1]:")]
)
async def test_hosts(host, shown):
    """The URL can be reached, for any address to listen on."""
    try:
        async with Emulator(host=host) as emulator, client(emulator) as http:
            status, _, _ = await get(http, "/v1/models")
    except OSError:
        pytest.skip("no IPv6 here")

    assert status == 200
    assert emulator.url.startswith(shown)


async def test_port_taken():
    """A taken port is an OSError, in both forms."""
    async with Emulator() as emulator:
        port = int(emulator.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address"):
            await Emulator(port=port).__aenter__()
        with pytest.raises(OSError, match="address"):
            ThreadedEmulator(port=port).__enter__()


async def test_an_emulator_never_entered_can_be_left():
    """Leaving an emulator that was never entered is harmless."""
    await Emulator().__aexit__(None, None, None)
    ThreadedEmulator().__exit__(None, None, None)


def test_threaded():
    """Synchronous code has the same emulator in a thread."""
    with ThreadedEmulator(seconds=0, key="sk-test-12345") as emulator:
        request = urllib.request.Request(
            emulator.url + IMAGES,
            json.dumps(GROK).encode(),
            {"Authorization": "Bearer sk-test-12345", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as reply:
            task_id = json.load(reply)["id"]
        with pytest.raises(RuntimeError, match="once"):
            emulator.__enter__()

    assert emulator.tasks[task_id].status == "completed"
    assert (
        emulator.key,
        emulator.billed,
        emulator.billed_images,
        emulator.connections,
        emulator.faults_fired,
    ) == ("sk-test-12345", 1, 1, 1, 0)


def test_threaded_server_that_breaks(monkeypatch):
    """An error after the start stays in the thread, and the exit does not hang."""
    seen = []
    monkeypatch.setattr("threading.excepthook", seen.append)

    async def broken(self):
        raise RuntimeError("broken")

    with ThreadedEmulator() as emulator:
        monkeypatch.setattr(emulator._emulator, "_stop", broken.__get__(emulator._emulator))

    assert str(seen[0].exc_value) == "broken"


def test_fixture_in_a_synchronous_test(foxapi_emulator):
    """The pytest fixture points the environment to a running emulator."""
    assert foxapi_emulator.key == os.environ["FOXAPI_API_KEY"]
    assert foxapi_emulator.url == os.environ["FOXAPI_BASE_URL"]


async def test_fixture_in_an_asynchronous_test(foxapi_emulator):
    """The same fixture works in asynchronous tests."""
    async with client(foxapi_emulator) as http:
        _, accepted, _ = await submit(http)

    assert accepted["task_info"]["estimated_time"] == 0.2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command(number):
    """The command prints the variables to export, serves, and ends with a sum and with 0 on a signal."""
    command = [
        sys.executable,
        "-m",
        "foxapi_async.emulator",
        "--port",
        "0",
        "--key",
        "sk-x-12345",
        "--fault-rate",
        "1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _, key, url = [process.stdout.readline().strip() for _ in range(3)]
        request = urllib.request.Request(
            url.partition("=")[2] + "/v1/models", headers={"Authorization": "Bearer sk-x-12345"}
        )
        with urllib.request.urlopen(request) as reply:
            status = reply.status
        process.send_signal(number)
        rest = process.communicate(timeout=10)

    assert key == "export FOXAPI_API_KEY=sk-x-12345" and url.startswith(
        "export FOXAPI_BASE_URL=http://127.0.0.1:"
    )
    total = "Submits: 0, results: 0, at the emulator's price 0 credits.\n"
    assert (status, process.returncode, rest) == (200, 0, (total, ""))


async def test_the_command_says_at_its_end_what_it_has_billed(capsys):
    """The numbers of submits and of results, and their price: an app on several processes cannot count them."""
    running = __main__.Emulator(port=0)
    serving = asyncio.create_task(__main__._serve(running))
    while not capsys.readouterr().out:  # noqa: ASYNC110 - its only sign that it serves
        await asyncio.sleep(0)
    async with client(running) as http:
        await submit(http)
    os.kill(os.getpid(), signal.SIGTERM)
    await serving

    assert "Submits: 1, results: 1, at the emulator's price 5 credits." in capsys.readouterr().out


def test_command_in_this_process(monkeypatch, capsys):
    """The command is a function that returns its exit status, so that another command can offer it."""

    async def serve(emulator):
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "_serve", serve)

    assert __main__.main(["--port", "0"]) == 0
    assert __main__.main(["--seconds", "-1"]) == 2
    assert __main__.main(["--fault-rate", "7"]) == 2
    assert "seconds=-1" in capsys.readouterr().err


def test_options_of_the_command(monkeypatch):
    """The command offers the dialect of the results and the replay of idempotency keys; both are off by default."""
    made = []

    async def serve(emulator):
        made.append(emulator._service.options)

    monkeypatch.setattr(__main__, "_serve", serve)
    __main__.main(["--port", "0"])
    __main__.main(["--port", "0", "--results", "urls", "--idempotent"])

    assert [(options.results, options.idempotent) for options in made] == [("objects", False), ("urls", True)]


def test_the_command_has_the_same_key_after_a_restart(monkeypatch):
    """What a shell has exported is still right."""
    keys = []

    async def serve(emulator):
        keys.append(emulator.key)

    monkeypatch.setattr(__main__, "_serve", serve)
    __main__.main(["--port", "0"])
    __main__.main(["--port", "0"])

    assert ["sk-emulator-on-this-machine"] * 2 == keys


def test_command_on_a_taken_port(capsys):
    """A taken port gives one line and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert __main__.main(["--port", str(taken.getsockname()[1])]) == 1

    assert capsys.readouterr().err.startswith("foxapi emulator: ")


def test_door():
    """The package lists its public names, in order."""
    assert sorted(foxapi_async.emulator.__all__) == foxapi_async.emulator.__all__
