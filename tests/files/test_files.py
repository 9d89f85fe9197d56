"""Files in both directions: results to disk and memory, inputs to the service; on a loop whose clock jumps."""

import asyncio
import copy
import errno
import io
import os
import pickle
from pathlib import Path

import pytest
from helpers import fox_request, now, posts, session_at
from PIL import Image

from foxapi_async import (
    DownloadError,
    Gemini31FlashImage,
    GeneratedImage,
    InvalidRequestError,
    PayloadTooLargeError,
    RetryPolicy,
    ServerError,
)
from foxapi_async._client import api
from foxapi_async._files import disk, downloads
from foxapi_async._files.upload_source import Source
from foxapi_async._threads import in_thread
from foxapi_async.emulator import Fault

pytestmark = pytest.mark.virtual


@pytest.fixture
async def result(fox):
    return await fox.generate(fox_request("a fox", num_outputs=2, output_format="png"))


def files_of(emulator):
    return [record for record in emulator.requests if record.path.startswith("/files/")]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


async def test_save_writes_every_image_once(result, tmp_path):
    """`save` writes `<task_id>-<n>.<ext>` into a folder that it makes, and returns the paths."""
    paths = await result.save(tmp_path / "deep" / "out")

    assert [f"{result.task_id}-1.png", f"{result.task_id}-2.png"] == [path.name for path in paths]
    for path in paths:
        with Image.open(path) as image:
            assert ("PNG", (1024, 1024)) == (image.format, image.size)
    assert names_in(tmp_path / "deep" / "out") == [path.name for path in paths]


@pytest.mark.parametrize("form", ["jpg", "png", "webp"])
async def test_the_ending_follows_the_content(fox, tmp_path, form):
    """The ending of a saved file is that of its content."""
    result = await fox.generate(fox_request(output_format=form))
    (path,) = await result.save(tmp_path)

    assert f".{form}" == path.suffix


async def test_the_ending_does_not_follow_the_url(emulator, fox, result, tmp_path):
    """An image gets the ending of its content, even if the URL ends in `.html` or has no ending."""
    url = result.images[0].url
    odd = GeneratedImage(f"{url}?name=evil.html")

    assert ".png" == (await odd.save(tmp_path / "odd")).suffix


async def test_the_key_never_goes_to_the_file_host(emulator, result, tmp_path):
    """Downloads have no Authorization header."""
    await result.save(tmp_path)

    records = files_of(emulator)
    assert 2 == len(records)
    assert not any(record.authorized for record in records)


async def test_read_gives_the_bytes(result, tmp_path):
    """`read` returns the bytes that `save` writes."""
    path = await result.images[0].save(tmp_path / "fox.png")

    assert path.read_bytes() == await result.images[0].read()
    assert tmp_path / "fox.png" == path


async def test_a_chosen_name_is_kept_and_a_bare_one_gets_an_ending(result, tmp_path):
    """`image.save("name")` adds the ending of the content; a name with an ending stays unchanged."""
    image = result.images[0]

    assert tmp_path / "fox.png" == await image.save(tmp_path / "fox")
    assert tmp_path / "fox.jpeg" == await image.save(tmp_path / "fox.jpeg")


async def test_an_existing_file_is_refused_before_anything_is_fetched(emulator, result, tmp_path):
    """A taken name, with any ending, is a DownloadError before a byte is fetched; `overwrite` allows it."""
    (tmp_path / f"{result.task_id}-2.webp").write_bytes(b"mine")
    (tmp_path / "fox.png").write_bytes(b"mine")

    for saving in (result.save(tmp_path), result.images[0].save(tmp_path / "fox.png")):
        with pytest.raises(DownloadError, match="exists already") as caught:
            await saving
        assert ("yes", result.task_id) == (caught.value.charged, caught.value.task_id)
        assert str(caught.value).endswith(
            "; the image is made and paid for: save it under another path, or with overwrite=True; a later program "
            "gets it with attach() and the task id, without another bill"
        )
    assert [] == files_of(emulator)
    await result.images[0].save(tmp_path / "fox.png", overwrite=True)
    assert b"mine" != (tmp_path / "fox.png").read_bytes()


async def test_a_name_taken_meanwhile_is_not_overwritten(emulator, fox, result, tmp_path):
    """A file that appears under the name during the download is kept. Of concurrent saves of one name, one
    succeeds.
    """
    outcomes = await asyncio.gather(
        *(result.images[0].save(tmp_path / "fox.png") for _ in range(4)), return_exceptions=True
    )

    assert 1 == sum(isinstance(outcome, Path) for outcome in outcomes)
    assert 3 == sum(isinstance(outcome, DownloadError) for outcome in outcomes)
    assert ["fox.png"] == names_in(tmp_path)


async def test_file_systems_without_hard_links_are_served(result, tmp_path, monkeypatch):
    """If a hard link cannot be made, the name is reserved first; a taken one is still kept."""

    def no_links(self, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    path = await result.images[0].save(tmp_path / "fox.png")

    assert path.stat().st_size > 1000
    part = tmp_path / "part"
    part.write_bytes(b"new")
    with pytest.raises(FileExistsError):
        disk._rename_to_free_name(part, path)


async def test_a_folder_in_place_of_a_file_is_refused(result, tmp_path):
    """`image.save(folder)` and `result.save("fox.png")` each point to the other."""
    with pytest.raises(DownloadError, match=r"result\.save"):
        await result.images[0].save(tmp_path)
    with pytest.raises(DownloadError, match=r"images\[0\]\.save"):
        await result.save(tmp_path / "fox.png")


async def test_what_the_disk_says_is_reported_in_one_line(result, tmp_path):
    """A folder that cannot be made is a DownloadError with the reason, and nothing is left."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(DownloadError, match=r"cannot write .*Not a directory|exists already"):
        await result.save(tmp_path / "file")
    assert ["file"] == names_in(tmp_path)


async def test_results_outlive_their_session(emulator, tmp_path):
    """After the session, and after pickling, a result still saves, over a short-lived connection."""
    async with session_at(emulator) as fox:
        result = await fox.generate(fox_request())
    thawed = pickle.loads(pickle.dumps(result))

    assert thawed == result == copy.deepcopy(result)
    assert 1 == len(await result.save(tmp_path / "one"))
    assert 1 == len(await thawed.save(tmp_path / "two"))
    assert emulator.key.encode() not in pickle.dumps(result)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status("file", 503, times=2),
        Fault.cut_before("file", times=2),
        Fault.cut_after("file", times=2),
        Fault.short_body("file", times=2),
        Fault.hang("file", times=1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.http_status}",
)
async def test_a_broken_download_is_resumed(emulator, fox, result, tmp_path, fault):
    """A download that breaks off is tried again, and the file is whole at the end."""
    whole = await result.images[0].read()
    emulator.add_fault(fault)

    path = await result.images[0].save(tmp_path / "fox.png")

    assert whole == path.read_bytes()
    assert ["fox.png"] == names_in(tmp_path)


async def test_a_short_body_is_resumed_where_it_broke_off(emulator, fox, result):
    """The second try asks for the rest with `Range` if the file is known to be the same."""
    emulator.add_fault(Fault.short_body("file"))
    await result.images[0].read()

    assert "range" in files_of(emulator)[-1].headers


@pytest.mark.parametrize("times", [None])
async def test_a_download_that_never_works_ends(emulator, fox, result, tmp_path, times):
    """After the policy's tries a DownloadError names the URL; no partial file is left."""
    emulator.add_fault(Fault.short_body("file", times=times))

    with pytest.raises(DownloadError, match="cannot download") as caught:
        await result.images[0].save(tmp_path / "fox.png")

    assert result.images[0].url == caught.value.url
    assert ("yes", False) == (caught.value.charged, caught.value.retryable)
    assert [] == names_in(tmp_path)
    assert 5 == len(files_of(emulator))


async def test_a_web_page_is_no_image(emulator, fox, result, tmp_path):
    """HTML in place of an image is an error, not a file."""
    emulator.add_fault(Fault.html("file"))

    with pytest.raises(DownloadError, match="web page"):
        await result.images[0].save(tmp_path / "fox.png")

    assert [] == names_in(tmp_path)


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_an_expired_url_says_so(emulator, fox, result, status):
    """An expired result URL is reported at once, with the 24 hours."""
    emulator.add_fault(Fault.status("file", status))

    with pytest.raises(DownloadError, match="24 hours"):
        await result.images[0].read()

    assert 1 == len(files_of(emulator))


async def test_a_stalled_download_is_given_up(emulator, fox, result):
    """Thirty seconds without a byte end one try."""
    emulator.add_fault(Fault.drip("file", 10_000, times=None))
    async with session_at(emulator, retry=RetryPolicy(tries=2)) as other:
        image = (await other.fetch(result.task_id)).images[0]
        began = now()
        with pytest.raises(DownloadError, match=r"no byte in 30 s|no answer"):
            await image.read()

    assert now() - began < 200


async def test_a_file_is_bounded(emulator, fox, result, tmp_path, monkeypatch):
    """A file larger than the limit is refused during the download."""
    monkeypatch.setattr(downloads, "MAX_FILE_BYTES", 5000)

    with pytest.raises(DownloadError, match="larger than 5000 bytes"):
        await result.images[0].save(tmp_path / "fox.png")

    assert [] == names_in(tmp_path)


@pytest.mark.parametrize(
    ("location", "words"),
    [("ftp://127.0.0.1/x", "not followed"), ("file:///etc/passwd", "not followed"), ("", "image")],
)
async def test_a_redirect_is_followed_only_to_the_web(emulator, fox, result, location, words):
    """Downloads follow redirects only to http and https."""
    emulator.add_fault(Fault.redirect("file", location or result.images[1].url, status=302))
    if not location:
        assert await result.images[0].read() == await result.images[1].read()
        return

    with pytest.raises(DownloadError, match=words):
        await result.images[0].read()


async def test_endless_redirects_end_with_an_error(emulator, fox, result):
    """A URL that redirects to itself ends with an error."""
    emulator.add_fault(Fault.redirect("file", result.images[0].url, times=None))

    with pytest.raises(DownloadError, match="too many redirects"):
        await result.images[0].read()


async def test_a_url_that_is_invalid_is_reported(fox):
    """A URL that cannot be fetched at all is a DownloadError."""
    with pytest.raises(DownloadError, match="cannot download"):
        await GeneratedImage("http://127.0.0.1:9/x.png").read()
    with pytest.raises(DownloadError, match="cannot download"):
        await GeneratedImage("http://[oops/x.png").read()


async def test_a_cancelled_save_leaves_nothing(emulator, fox, result, tmp_path):
    """Cancelling a save at any moment leaves no file under the final name, nor a part."""
    emulator.add_fault(Fault.drip("file", 60))
    saving = asyncio.create_task(result.images[0].save(tmp_path / "fox.png"))
    await asyncio.sleep(30)
    assert 1 == len(names_in(tmp_path))
    saving.cancel()
    await asyncio.wait([saving])

    assert saving.cancelled()
    assert [] == names_in(tmp_path)


async def test_a_cancelled_thread_is_waited_for():
    """A cancelled file operation has ended before its caller continues, however often it is cancelled."""
    import threading

    go_on, ended = threading.Event(), []

    def work():
        go_on.wait(5)
        ended.append(True)

    task = asyncio.create_task(in_thread(work))
    for _ in range(3):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
    assert not task.done()
    go_on.set()
    await asyncio.wait([task])

    assert ([True], True) == (ended, task.cancelled())


async def test_upload_takes_a_path_bytes_or_a_file(emulator, fox, tmp_path):
    """A path, bytes and a binary file are each stored whole, under their name, and can be fetched from their URL."""
    (tmp_path / "fox.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(600_000))
    half_read = io.BytesIO(b"skipped" + b"\x89PNG\r\n\x1a\nrest")
    half_read.read(7)
    with (tmp_path / "fox.png").open("rb") as opened:
        stored = [
            await fox.upload(tmp_path / "fox.png"),
            await fox.upload(str(tmp_path / "fox.png"), filename='re"na\r\nmed.png'),
            await fox.upload(b"\x89PNG\r\n\x1a\nsmall"),
            await fox.upload(half_read),
            await fox.upload(opened),
        ]

    assert [600_008, 600_008, 13, 12, 600_008] == [file.size for file in stored]
    assert "fox.png" == stored[0].filename == stored[4].filename
    assert b"\x89PNG\r\n\x1a\nrest" == await GeneratedImage(stored[3].url).read()
    assert (0, True) == (emulator.billed, stored[0].created > 0)
    assert not half_read.closed


async def test_what_cannot_be_uploaded_is_reported_before_anything_is_sent(
    emulator, fox, tmp_path, monkeypatch
):
    """A missing, empty or too large file is an InvalidRequestError that names it."""
    monkeypatch.setattr(api, "MAX_UPLOAD_BYTES", 10)
    for file, words in ((tmp_path / "no.png", "No such file"), (b"", "empty"), (bytes(11), "11 bytes")):
        with pytest.raises(InvalidRequestError, match=words):
            await fox.upload(file)

    assert [] == emulator.requests


async def test_an_upload_is_tried_again_from_its_beginning(emulator, fox, tmp_path):
    """After a passing fault the whole upload is repeated; nothing is billed for it."""
    emulator.add_fault(Fault.status("upload", 503))
    emulator.add_fault(Fault.cut_before("upload"))
    stored = await fox.upload(io.BytesIO(b"GIF89a" + bytes(400_000)))

    assert 400_006 == stored.size
    assert 3 == len(emulator.requests)


async def test_an_upload_that_fails_is_not_charged(emulator, fox):
    """The error of an upload has `charged == "no"`."""
    emulator.add_fault(Fault.status("upload", 500, times=None))
    with pytest.raises(ServerError) as caught:
        await fox.upload(b"GIF89a")
    assert "no" == caught.value.charged
    emulator.add_fault(Fault.status("upload", 413))


async def test_too_large_for_the_service_says_so(emulator, fox):
    """413 with an HTML page of the edge is reported in words."""
    emulator.add_fault(Fault.html("upload", status=413))

    with pytest.raises(PayloadTooLargeError):
        await fox.upload(b"GIF89a")


async def test_local_files_in_a_request_are_stored_once(emulator, fox, tmp_path):
    """Paths in `image_urls` are uploaded before the submit, each once for the session, also by several
    submits at once.
    """
    path = tmp_path / "fox.png"
    Image.new("RGB", (64, 48)).save(path)
    requests = [Gemini31FlashImage(f"fox {i}", image_urls=[path]) for i in range(4)]

    handles = await asyncio.gather(*(fox.submit(request) for request in requests))

    uploads = [record for record in emulator.requests if "upload" in record.path]
    assert (4, 1) == (emulator.billed, len(uploads))
    bodies = [emulator.tasks[handle.id].body for handle in handles]
    assert 1 == len({body["image_urls"][0] for body in bodies})
    assert bodies[0]["image_urls"][0].startswith("http")
    Image.new("RGB", (80, 80)).save(path)
    await fox.submit(requests[0])
    assert 2 == len([record for record in emulator.requests if "upload" in record.path])


async def test_a_stored_file_is_stored_again_when_it_is_old(emulator, fox, tmp_path):
    """Uploads live for 72 hours: after two days a file is stored again."""
    path = tmp_path / "fox.png"
    Image.new("RGB", (64, 48)).save(path)
    await fox.submit(fox_request(image_urls=[path]), timeout=None)
    await asyncio.sleep(50 * 3600)
    await fox.submit(fox_request(image_urls=[path]))

    assert 2 == len([record for record in emulator.requests if "upload" in record.path])


async def test_files_that_are_old_are_forgotten(emulator, fox, tmp_path):
    """A file that would be stored again needs no memory: of one file every 30 hours two are kept."""
    for n in range(5):
        path = tmp_path / f"{n}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([n]))
        await fox.submit(fox_request(image_urls=[path]), timeout=1)
        await asyncio.sleep(30 * 3600)
    uploads = fox._engine.uploads

    assert (2, 0) == (len(uploads._stored), len(uploads._turns))


@pytest.mark.parametrize(
    "text",
    [
        b"root:x:0:0:root:/root:/bin/bash\n",
        b'{"key": "secret"}',
        b"<html></html>",
        b"<config><svg>secret</svg></config>",
        b"BM is a text",
        "M\u00fcller: secret".encode("latin-1"),
        "a secret".encode("utf-16"),
    ],
)
async def test_a_text_is_no_input_file(emulator, fox, tmp_path, text):
    """A path may come from another person. A text is not sent to the service, and nothing is billed."""
    (tmp_path / "fox.png").write_bytes(text)
    with pytest.raises(InvalidRequestError, match=r"fox\.png: the file is a text, not an image"):
        await fox.submit(fox_request(image_urls=[tmp_path / "fox.png"]))

    assert ([], 0) == (emulator.requests, emulator.billed)


async def test_a_file_that_disappears_before_it_is_sent(emulator, fox, tmp_path, monkeypatch):
    """A file that was good a moment ago and is gone is an error of the request, and nothing is billed."""
    monkeypatch.setattr("foxapi_async._client.uploads.input_problem", lambda *_: None)
    with pytest.raises(InvalidRequestError, match=r"cannot use the input file .*gone\.png: No such file"):
        await fox.submit(fox_request(image_urls=[tmp_path / "gone.png"]))

    assert ([], 0) == (emulator.requests, emulator.billed)


async def test_a_drawing_is_an_input_file(emulator, fox, tmp_path):
    """An SVG is a text and an image."""
    (tmp_path / "fox.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    await fox.submit(fox_request(image_urls=[tmp_path / "fox.svg"]))

    assert 1 == emulator.billed


async def test_a_missing_input_file_bills_nothing(emulator, fox, tmp_path):
    """A path that cannot be read, or whose upload fails, ends the submit before the POST."""
    with pytest.raises(InvalidRequestError, match=r"cannot use the input file .*no\.png"):
        await fox.submit(fox_request(image_urls=[tmp_path / "no.png"]))
    (tmp_path / "fox.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    emulator.add_fault(Fault.status("upload", 403))
    with pytest.raises(Exception, match="403") as caught:
        await fox.submit(fox_request(image_urls=[tmp_path / "fox.png"]))

    assert "no" == caught.value.charged
    assert ([], 0) == (posts(emulator), emulator.billed)


async def test_a_file_that_shrinks_while_it_is_sent_is_noticed(emulator, fox, tmp_path):
    """A file that becomes shorter during the upload is an error, not half a file."""
    source = Source(tmp_path / "fox.bin")
    (tmp_path / "fox.bin").write_bytes(bytes(1000))
    await source.measure()
    os.truncate(tmp_path / "fox.bin", 10)

    with pytest.raises(OSError, match="shorter"):
        [piece async for piece in source.pieces()]
    assert str(tmp_path / "fox.bin") == str(source)


async def test_a_half_saved_result_reports_what_was_saved(emulator, fox, result, tmp_path):
    """If one image of several cannot be fetched, the error names the files of the others, which stay."""
    emulator.add_fault(Fault.status("file", 404))

    with pytest.raises(DownloadError, match="404") as caught:
        await result.save(tmp_path)

    assert [path.name for path in caught.value.saved] == names_in(tmp_path)
    assert 1 == len(caught.value.saved)


@pytest.mark.parametrize("location", ["http://[::1", "javascript:alert(1)"])
async def test_a_redirect_to_nowhere_is_reported(emulator, fox, result, tmp_path, location):
    """A malformed redirect is a DownloadError, from `read` and from `save`, and is not tried again."""
    emulator.add_fault(Fault.redirect("file", location, times=None))
    for fetching in (result.images[0].read(), result.images[0].save(tmp_path / "fox.png")):
        with pytest.raises(DownloadError, match=r"not followed|no address"):
            await fetching

    assert 2 == len(files_of(emulator))


async def test_a_pipe_is_no_input_file(emulator, fox, tmp_path):
    """A named pipe, which would block a thread until another process writes, is refused at once."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidRequestError, match="not a regular file"):
        await fox.upload(tmp_path / "pipe")
    with pytest.raises(InvalidRequestError, match="not a regular file"):
        await fox.submit(fox_request(image_urls=[tmp_path / "pipe"]))

    assert [] == emulator.requests


async def test_a_folder_that_cannot_be_written_to_is_reported(result, tmp_path, monkeypatch):
    """If no file can be made, the error says why, and nothing is left."""

    def refused(self, mode="r"):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(DownloadError, match=r"cannot write .*Permission denied"):
        await result.save(tmp_path)

    assert [] == names_in(tmp_path)
