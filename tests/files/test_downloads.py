"""Result files under every fault: an expired address, a file that changes during the download, data that is
not an image, a full disk, and taken names.
"""

import asyncio
import errno
import gzip
import hashlib
import io
import os
import pickle
import sys
from pathlib import Path

import aiohttp
import attrs
import pytest
from aiohttp import web
from file_hosts import OTHER, PICTURE, TASK, Host, broken_off, by_path, reply, whole
from helpers import fox_request, posts

from foxapi_async import DownloadError, FoxSession, GeneratedImage, SavedFile
from foxapi_async._files import disk, downloads, names
from foxapi_async._files.values import Position
from foxapi_async._handles.result import file_of
from foxapi_async._handles.snapshot import snapshot_of
from foxapi_async._http.exchange import ExchangeFailed
from foxapi_async._http.file_client import FileClient
from foxapi_async._http.proxy import Proxy
from foxapi_async._wire.replies import ResultFile, TaskReply
from foxapi_async.emulator import Fault

pytestmark = pytest.mark.virtual

KEY = "sk-the-key-of-these-tests"


def in_turn(*answers):
    """Each request gets the next answer; the last one is used for all later requests."""
    left = list(answers)

    async def answer(request):
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def begins(piece=PICTURE[:600], etag='"one"'):
    """An answer function with such a reply."""
    return lambda request: broken_off(request, piece, etag)


def session_of(host, **options):
    return FoxSession(KEY, base_url=host.url, **options)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def digest(data):
    return hashlib.sha256(data).hexdigest()


# Expired addresses.


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_an_expired_address_is_renewed(status, tmp_path):
    """If a result file is gone, an image of an open session reads its task once and fetches the fresh address."""
    answer = by_path(old=status, new=PICTURE)
    async with Host(answer, ["/old"], ["/new"]) as host, session_of(host) as fox:
        image = (await fox.fetch(TASK)).images[0]
        path = await image.save(tmp_path / "fox.png")

    assert PICTURE == path.read_bytes()
    assert (["/old", "/new"], 2) == (host.paths, host.reads)
    assert [] == [request for request in host.asked if "Authorization" in request.headers]


async def test_a_result_keeps_its_places():
    """Each of several images takes the fresh address at its own position."""
    answer = by_path(new1=PICTURE, new2=OTHER)
    async with Host(answer, ["/old1", "/old2"], ["/new1", "/new2"]) as host, session_of(host) as fox:
        result = await fox.attach(TASK)

        assert [OTHER, PICTURE] == [await result.images[1].read(), await result.images[0].read()]


@pytest.mark.parametrize("how", ["save", "read"])
async def test_images_that_expire_together_read_their_task_once(tmp_path, how):
    """If several images of a result have expired, at the same time or not, the task is read once."""
    old, new = [f"/old{n}" for n in range(4)], [f"/new{n}" for n in range(4)]

    async def answer(request):
        if "old" in request.path:
            await asyncio.sleep(int(request.path[-1]))
            return web.Response(status=404)
        return web.Response(body=PICTURE + request.path.encode())

    async with Host(answer, old, new) as host, session_of(host) as fox:
        images = (result := await fox.attach(TASK)).images
        if how == "save":
            found = [path.read_bytes() for path in await result.save(tmp_path)]
        else:
            found = await asyncio.gather(*(image.read() for image in images))

        assert [PICTURE + path.encode() for path in new] == found
        assert 2 == host.reads
        await images[0].read()
        assert 3 == host.reads


async def test_a_failed_read_is_not_repeated_for_each_image(tmp_path):
    """If the task cannot be read, this holds for all images of the call: the service is asked once."""
    async with Host(by_path(), [f"/old{n}" for n in range(4)], 404) as host, session_of(host) as fox:
        with pytest.raises(DownloadError, match=r"cannot be read for a fresh address.*404.*24 hours"):
            await (await fox.attach(TASK)).save(tmp_path)

    assert 2 == host.reads
    assert [] == names_in(tmp_path)


async def test_a_cancelled_reader_hands_over_to_the_next():
    """If the download that reads the task is cancelled, another one that waits for the result reads it."""
    answer = by_path(new1=PICTURE, new2=OTHER)
    async with Host(answer, ["/old1", "/old2"], ["/new1", "/new2"]) as host, session_of(host) as fox:
        images = (await fox.fetch(TASK)).images
        reading = asyncio.Event()
        port = images[0]._downloads
        fetch = port._refresh

        async def slow_fetch(task_id):
            reading.set()
            await asyncio.sleep(5)
            return await fetch(task_id)

        port._refresh = slow_fetch
        first, second = (asyncio.create_task(image.read()) for image in images)
        await reading.wait()
        await asyncio.sleep(1)
        first.cancel()

        assert OTHER == await second
        assert first.cancelled()


@pytest.mark.parametrize(
    ("naming", "words"),
    [
        (["/old"], "still names this address"),
        ([], "no longer names an address for it"),
        (["/other", "/new"], "no longer names an address for it"),
        (404, "cannot be read for a fresh address: "),
        (503, "cannot be read for a fresh address: "),
        (401, "cannot be read for a fresh address: "),
    ],
)
async def test_where_there_is_no_fresh_address_the_error_says_so(naming, words):
    """The task names the same address, none, another number of them, or cannot be read: an error with the 24 h."""
    async with Host(by_path(), ["/old"], naming) as host, session_of(host) as fox:
        image = (await fox.fetch(TASK)).images[0]
        with pytest.raises(DownloadError, match=f"task {TASK}: .*HTTP 404, and its task {words}") as caught:
            await image.read()

    assert "result files live for 24 hours" in str(caught.value)
    assert (TASK, image.url, "yes") == (caught.value.task_id, caught.value.url, caught.value.charged)
    assert KEY not in str(caught.value)
    assert ["/old"] == host.paths


async def test_a_fresh_address_that_is_gone_as_well_ends_it():
    """The task is read for a fresh address once; if that fails too, the error names it."""
    async with Host(by_path(), ["/old"], ["/new"], ["/newer"]) as host, session_of(host) as fox:
        image = (await fox.fetch(TASK)).images[0]
        with pytest.raises(DownloadError, match=r"HTTP 404, also at the fresh address .*24 hours") as caught:
            await image.read()

    assert f"{host.url}/new" == caught.value.url
    assert (["/old", "/new"], 2) == (host.paths, host.reads)


async def test_what_came_from_the_old_address_is_not_continued(tmp_path):
    """A file that expires half-way starts again at its fresh address, whose bytes may differ."""
    answer = in_turn(begins(), whole(status=410), whole(OTHER))
    async with Host(answer, ["/old"], ["/new"]) as host, session_of(host) as fox:
        saved = await (await fox.fetch(TASK)).images[0].download(tmp_path / "fox")

    assert SavedFile(tmp_path / "fox.gif", digest(OTHER), len(OTHER)) == saved
    assert [(None, "/old"), ("bytes=600-", "/old"), (None, "/new")] == list(
        zip(host.ranges, host.paths, strict=True)
    )


async def test_without_a_session_an_expired_address_stays_expired():
    """After the session, after a pickle, or without a task, nothing is read: a read needs the key."""
    async with Host(by_path(), ["/old"], ["/new"]) as host:
        async with session_of(host) as fox:
            image = (await fox.fetch(TASK)).images[0]
            nobodys = attrs.evolve(host.image, downloads=image._downloads)
            with pytest.raises(DownloadError, match="HTTP 404; result files live for 24 hours"):
                await nobodys.read()
        for each in (image, pickle.loads(pickle.dumps(image))):
            with pytest.raises(DownloadError, match="HTTP 404; result files live for 24 hours"):
                await each.read()

    assert 1 == host.reads


async def test_renewing_bills_nothing(emulator, fox, tmp_path):
    """A file that answers 404 causes one status read and no submit."""
    result = await fox.generate(fox_request())
    before = len(emulator.requests)
    emulator.add_fault(Fault.status("file", 404))
    with pytest.raises(DownloadError, match="still names this address"):
        await result.save(tmp_path)

    assert ["GET", "GET"] == [record.method for record in emulator.requests[before:]]
    assert (1, 1) == (emulator.billed, len(posts(emulator)))


def test_the_place_is_no_part_of_the_value():
    """Images are equal at every position, do not show it, and lose it when they are pickled."""
    file = ResultFile("https://cdn.test/a.png", None, {})
    (alone,) = snapshot_of(TaskReply(id="t", files=(file,))).images
    _, second = snapshot_of(TaskReply(id="t", files=(file, file))).images
    again = pickle.loads(pickle.dumps(second))

    assert alone == second == again
    assert hash(alone) == hash(second)
    assert "osition" not in repr(second)
    assert (Position(0, 1), Position(1, 2), None) == (
        file_of(alone).position,
        file_of(second).position,
        file_of(again).position,
    )
    assert file_of(again).at_fresh_address(["https://cdn.test/b.png"] * 2) is None


# Files that break off, or change between two tries.


async def test_an_encoded_body_is_not_resumed():
    """For a compressed body we count other bytes than the server: it is fetched again from the start, and is
    whole.
    """
    packed = gzip.compress(PICTURE)

    async def answer(request):
        headers = {"Content-Encoding": "gzip", "ETag": '"one"', "Content-Length": str(len(packed))}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(packed if len(host.ranges) > 1 else packed[:-200])
        if len(host.ranges) == 1:
            request.transport.close()
        return response

    async with Host(answer) as host:
        assert PICTURE == await host.image.read()
    assert [None, None] == host.ranges


async def test_a_part_that_was_not_asked_for_is_not_the_file():
    """A 206 without a Range in the request is tried again."""

    async def answer(request):
        if len(host.ranges) == 1:
            return web.Response(status=206, body=PICTURE[:100])
        return web.Response(body=PICTURE)

    async with Host(answer) as host:
        assert PICTURE == await host.image.read()


async def test_a_file_that_changed_is_fetched_again():
    """If the file has changed when a download is resumed, it is fetched from its beginning."""

    async def answer(request):
        if len(host.ranges) > 1:
            return web.Response(body=PICTURE, headers={"ETag": '"two"'})
        response = web.StreamResponse(headers={"ETag": '"one"', "Content-Length": "5000"})
        await response.prepare(request)
        await response.write(b"GIF89a" * 100)
        request.transport.close()
        return response

    async with Host(answer) as host:
        assert PICTURE == await host.image.read()
    assert [None, "bytes=600-"] == host.ranges


async def test_a_large_file_is_written_as_it_comes_and_begun_again_where_it_must(tmp_path):
    """A file of many pieces reaches the disk whole, also if its first half was of another file."""

    async def answer(request):
        headers = {"ETag": f'"{len(host.ranges)}"', "Content-Length": str(len(PICTURE))}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(PICTURE if len(host.ranges) > 1 else bytes(400_000))
        if len(host.ranges) == 1:
            request.transport.close()
        return response

    async with Host(answer) as host:
        path = await host.image.save(tmp_path / "fox.png")

    assert PICTURE == path.read_bytes()
    assert ["fox.png"] == names_in(tmp_path)


@pytest.mark.parametrize(
    "second",
    [
        whole(PICTURE[600:], 206, Content_Range=f"bytes 600-{len(PICTURE) - 1}/{len(PICTURE)}", ETag='"one"'),
        whole(PICTURE[600:], 206, Content_Range=f"Bytes 600-{len(PICTURE) - 1}/*"),
    ],
    ids=["of a known length", "of an unknown length"],
)
async def test_a_short_body_is_continued(tmp_path, second):
    """The rest of a file that broke off is appended, and counted and hashed with the bytes before it."""
    async with Host(in_turn(begins(), second)) as host:
        saved = await host.image.download(tmp_path / "fox.png")

    assert PICTURE == saved.path.read_bytes()
    assert (digest(PICTURE), len(PICTURE)) == (saved.sha256, saved.bytes)
    assert [None, "bytes=600-"] == host.ranges
    assert '"one"' == host.asked[1].headers["If-Range"]


REST = f"bytes 600-{len(PICTURE) - 1}/{len(PICTURE)}"


@pytest.mark.parametrize(
    "second",
    [
        whole(OTHER[600:], 206, Content_Range=f"bytes 600-{len(OTHER) - 1}/{len(OTHER)}"),
        whole(OTHER[600:], 206, Content_Range=REST, ETag='"two"'),
        whole(gzip.compress(OTHER[600:]), 206, Content_Range=REST, Content_Encoding="gzip"),
        whole(OTHER[700:], 206, Content_Range=f"bytes 700-{len(PICTURE) - 1}/{len(PICTURE)}"),
        whole(OTHER[600:], 206, Content_Range=f"bytes 600-{len(PICTURE)}/{len(PICTURE)}"),
        whole(OTHER[600:], 206, Content_Range="bytes 600-599/*"),
        whole(OTHER[600:], 206, Content_Range="bytes 600-"),
        whole(OTHER[600:], 206),
        whole(b"", 416, Content_Range="bytes */100"),
        whole(OTHER * 2, 206, Content_Range=REST),
        whole(OTHER, 200, ETag='"two"'),
    ],
    ids=[
        "another length",
        "another ETag",
        "encoded",
        "another part",
        "a part beyond the end",
        "a part that ends before it begins",
        "half a header",
        "no Content-Range",
        "416",
        "more than its range",
        "200",
    ],
)
async def test_a_file_that_changed_is_begun_again(tmp_path, second):
    """Bytes that do not fit the earlier ones are not part of the file: it is fetched again, never mixed."""
    async with Host(in_turn(begins(), second, whole(OTHER))) as host:
        saved = await host.image.download(tmp_path / "fox")

    assert SavedFile(tmp_path / "fox.gif", digest(OTHER), len(OTHER)) == saved
    assert OTHER == saved.path.read_bytes()
    assert [None, "bytes=600-", None][: len(host.ranges)] == host.ranges
    assert ["fox.gif"] == names_in(tmp_path)


async def test_a_part_of_the_rest_is_not_the_end(tmp_path):
    """A server may send less than the requested rest: the file is not whole before its announced length."""
    total = len(PICTURE)

    async def answer(request):
        start = request.http_range.start or 0
        if start == 0:
            return await broken_off(request, PICTURE[:600], '"one"')
        stop = min(start + total // 3, total)
        return reply(PICTURE[start:stop], 206, Content_Range=f"bytes {start}-{stop - 1}/{total}")

    async with Host(answer) as host:
        saved = await host.image.download(tmp_path / "fox.png")

    assert (PICTURE, digest(PICTURE)) == (saved.path.read_bytes(), saved.sha256)
    assert 4 == len(host.asked)


async def test_a_server_without_ranges_sends_all_of_it_again(tmp_path):
    """If a server ignores `Range`, or has no mark of the file's version, the file starts again."""
    async with Host(in_turn(begins(), begins(), whole())) as host:
        assert PICTURE == await host.image.read()
    assert [None, "bytes=600-", "bytes=600-"] == host.ranges

    async with Host(in_turn(begins(etag='W/"one"'), whole())) as host:
        assert PICTURE == (await host.image.save(tmp_path / "fox.png")).read_bytes()
    assert [None, None] == host.ranges


async def raw_reply(data, body_of=lambda image: image.read()):
    """The result of an image if these bytes are the whole answer."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await body_of(GeneratedImage(f"http://127.0.0.1:{port}/fox"))


async def test_a_body_longer_than_announced_ends_where_it_was_to_end():
    """Bytes beyond the announced length are not part of the file."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(PICTURE)}\r\n\r\n".encode()

    assert PICTURE == await raw_reply(head + PICTURE + b"more")


async def test_a_body_that_does_not_unpack_is_an_error():
    """A body that is not encoded as declared is a DownloadError."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\n"

    with pytest.raises(DownloadError, match="cannot download: the body was cut off"):
        await raw_reply(head + b"no gzip")


@pytest.mark.parametrize("status", [204, 304, 400, 401, 416, 418])
async def test_an_answer_without_a_file_is_reported_at_once(status):
    """Any other answer is a DownloadError with its status, after one request."""
    async with Host(in_turn(whole(b"", status))) as host:
        with pytest.raises(DownloadError, match=f"HTTP {status}"):
            await host.image.read()
    assert 1 == len(host.asked)


async def test_a_file_that_never_fits_ends_after_the_tries(tmp_path):
    """If a server's parts never fit, the download ends after the policy's tries, and leaves nothing."""
    async with Host(in_turn(begins(), whole(b"", 416), begins(), whole(b"", 416), begins())) as host:
        with pytest.raises(DownloadError, match="cannot download"):
            await host.image.save(tmp_path / "fox.png")

    assert 5 == len(host.asked)
    assert [] == names_in(tmp_path)


# Data that is not an image, and files that are too large.


@pytest.mark.parametrize(
    ("body", "declared", "words"),
    [
        (b"<!doctype html><title>Expired</title>", "text/html", "web page"),
        (b"\xef\xbb\xbf<html>", "application/octet-stream", "web page"),
        (b'{"error": "gone"}', "image/png", "web page"),
        (b"error code: 1010", "image/png", "web page"),
        ("\u56fe\u7247\u5df2\u8fc7\u671f".encode(), "image/webp", "web page"),
        (b"<!DOCTYPE html>", "image/svg+xml", "web page"),
        (b"gone", "image/svg+xml", "web page"),
        (b"", "image/png", "empty file"),
        (b"", "image/svg+xml", "empty file"),
        (b"", "application/octet-stream", "empty file"),
    ],
)
async def test_what_is_no_image_is_no_file(tmp_path, body, declared, words):
    """A page, JSON, plain words or nothing in place of an image is an error: no file, no part, one request."""
    async with Host(in_turn(whole(body, Content_Type=declared))) as host:
        for fetching in (host.image.save(tmp_path / "fox.png"), host.image.read()):
            with pytest.raises(DownloadError, match=words) as caught:
                await fetching
            assert caught.value.charged == "yes"

    assert [] == names_in(tmp_path)
    assert 2 == len(host.asked)


@pytest.mark.parametrize(
    ("head", "declared", "ending"),
    [
        (b"\xef\xbb\xbf<svg>", "image/svg+xml", ".svg"),
        (b"<?xml version='1.0'?><svg>", "image/svg+xml", ".svg"),
        (b"\x01words", "image/png", ".png"),
        (b"words \xff", "image/png", ".png"),
        (b"words", "application/octet-stream", ".bin"),
    ],
)
def test_files_of_unknown_kinds_are_kept(head, declared, ending):
    """Data that is not clearly a text is kept: it is paid for."""
    assert ending == names.ending(head, declared)


async def test_a_file_that_says_it_is_too_large_is_not_begun(monkeypatch, tmp_path):
    """An announced length above the limit ends the download before its first byte."""
    monkeypatch.setattr(downloads, "MAX_FILE_BYTES", len(PICTURE) - 1)
    async with Host(in_turn(begins(b""))) as host:
        with pytest.raises(DownloadError, match=f"larger than {len(PICTURE) - 1} bytes"):
            await host.image.save(tmp_path / "fox.png")

    assert 1 == len(host.asked)
    assert [] == names_in(tmp_path)


async def test_a_file_of_unknown_length_is_bounded_too(monkeypatch):
    """If the announced length is missing or wrong, the bytes are counted as they come."""
    monkeypatch.setattr(downloads, "MAX_FILE_BYTES", 100)
    with pytest.raises(DownloadError, match="larger than 100 bytes"):
        await raw_reply(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PICTURE)


# Disk and names.


class FullDisk(io.FileIO):
    """A file on a disk with room for this many bytes."""

    room = 0

    def write(self, data):
        data = memoryview(data)[: self.room]
        if not data:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)
        return super().write(data)


@pytest.mark.parametrize("room", [0, 100, 300_000, len(PICTURE) - 1])
async def test_a_disk_that_fills_up_under_way_leaves_nothing(tmp_path, monkeypatch, room):
    """Whenever the disk becomes full, the error has the system's words, the part is removed and its file is
    closed.
    """
    opened = []

    def open_on_full_disk(part):
        raw = FullDisk(part.path, "xb")
        raw.room = room
        opened.append(raw)
        part._file = io.BufferedWriter(raw)

    monkeypatch.setattr(disk.PartFile, "open", open_on_full_disk)
    async with Host(in_turn(whole())) as host:
        with pytest.raises(DownloadError, match=r"cannot write .*fox\.png.*: No space left on device"):
            await host.image.save(tmp_path / "fox.png")

    assert [] == names_in(tmp_path)
    assert [True] == [raw.closed for raw in opened]


def no_space(*_args, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(("owner", "step"), [(os, "fsync"), (Path, "replace"), (Path, "hardlink_to")])
async def test_a_disk_that_is_full_at_the_end_leaves_nothing(tmp_path, monkeypatch, owner, step, overwrite):
    """If there is no room at the flush or the rename, neither a part nor an empty file under the name is left."""
    monkeypatch.setattr(owner, step, no_space)
    if step == "replace" and not overwrite:
        monkeypatch.setattr(Path, "hardlink_to", no_space)
    if step == "hardlink_to":
        monkeypatch.setattr(Path, "replace", no_space)
    async with Host(in_turn(whole())) as host:
        with pytest.raises(DownloadError, match="No space left on device"):
            await host.image.save(tmp_path / "fox.png", overwrite=overwrite)

    assert [] == names_in(tmp_path)


async def test_a_part_that_cannot_be_removed_hides_no_error(tmp_path, monkeypatch):
    """The error is the reason of the failed download, not that the part could not be removed afterwards."""
    monkeypatch.setattr(Path, "unlink", no_space)
    async with Host(by_path()) as host:
        with pytest.raises(DownloadError, match="HTTP 404"):
            await host.image.save(tmp_path / "fox.png")


async def test_one_full_disk_leaves_the_others_saved(emulator, fox, tmp_path, monkeypatch):
    """If one image of several has no room, the others are saved, and the error names them."""
    result = await fox.generate(fox_request(num_outputs=4, output_format="png"))
    whole_commit = disk.PartFile.commit

    def commit(part, path, *, overwrite):
        if path.name.endswith("-2.png"):
            no_space()
        return whole_commit(part, path, overwrite=overwrite)

    monkeypatch.setattr(disk.PartFile, "commit", commit)
    with pytest.raises(DownloadError, match="No space left") as caught:
        await result.save(tmp_path)

    kept = [tmp_path / f"{result.task_id}-{n}.png" for n in (1, 3, 4)]
    assert tuple(kept) == caught.value.saved
    assert [path.name for path in kept] == names_in(tmp_path)
    assert result.images[1].url == caught.value.url


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("overwrite", [False, True])
async def test_two_files_race_for_one_name(tmp_path, monkeypatch, overwrite, links):
    """Of two saves under one name exactly one succeeds, or with `overwrite` the last: always one whole file,
    no mixture.
    """
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", no_space)
    async with Host(by_path(a=PICTURE, b=OTHER)) as host:
        images = [GeneratedImage(f"{host.url}/{path}") for path in "ab" * 4]
        outcomes = await asyncio.gather(
            *(image.download(tmp_path / "fox.bin", overwrite=overwrite) for image in images),
            return_exceptions=True,
        )

    saved = [outcome for outcome in outcomes if isinstance(outcome, SavedFile)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, DownloadError)]
    found = (tmp_path / "fox.bin").read_bytes()
    assert ["fox.bin"] == names_in(tmp_path)
    assert (8, 0) if overwrite else (1, 7) == (len(saved), len(refused))
    assert found in (PICTURE, OTHER)
    assert digest(found) in {file.sha256 for file in saved}
    assert all("exists already" in str(error) for error in refused)


async def test_a_crowd_saves_into_a_folder_that_is_not_there_yet(tmp_path):
    """Many saves at once make their missing folder together, and each has its file in it."""
    folder = tmp_path / "a" / "b" / "c"
    async with Host(in_turn(whole())) as host:
        saved = await asyncio.gather(*(host.image.download(folder / f"{n}.png") for n in range(60)))

    assert sorted(f"{n}.png" for n in range(60)) == names_in(folder)
    assert {(digest(PICTURE), len(PICTURE))} == {(file.sha256, file.bytes) for file in saved}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other ideas of a name")
@pytest.mark.parametrize(
    "name",
    [
        "with space and 'quotes'.png",
        "new\nline.png",
        "-rf.png",
        "*?<>|.png",
        "лиса 🦊.png",
        "🦊" * 62 + ".png",
        "x" * 251 + ".png",
        "undecodable-\udcff.png",
        "trailing. .png",
    ],
)
async def test_unusual_names_are_kept(tmp_path, name):
    """Any name that the file system takes is used, to its last byte."""
    async with Host(in_turn(whole())) as host:
        assert tmp_path / name == await host.image.save(tmp_path / name)

    assert [name] == names_in(tmp_path)


@pytest.mark.parametrize(
    "name", ["nul\0.png", "\ud800.png", "x" * 256 + ".png", "file/fox.png", "file/deep/fox"]
)
async def test_impossible_names_are_reported_before_anything_is_fetched(tmp_path, name):
    """An impossible name is a DownloadError, and no byte is fetched for it."""
    (tmp_path / "file").write_bytes(b"")
    async with Host(in_turn(whole())) as host:
        with pytest.raises(DownloadError, match="cannot write "):
            await host.image.save(tmp_path / name)

    assert [] == host.asked
    assert ["file"] == names_in(tmp_path)


async def test_a_folder_that_vanishes_is_reported(tmp_path):
    """If the folder is removed during the download, the error says that it is missing."""
    folder = tmp_path / "out"

    async def answer(request):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        return reply()

    async with Host(answer) as host:
        with pytest.raises(DownloadError, match=r"cannot write .*No such file or directory"):
            await host.image.save(folder / "fox.png")

    assert [] == names_in(tmp_path)


# Checksums.


async def test_downloads_report_size_and_checksum(emulator, fox, tmp_path):
    """`download` is `save` with the size and the SHA-256 of the bytes on the disk, for each image in order."""
    result = await fox.generate(fox_request(num_outputs=3))
    saved = await result.download(tmp_path / "a")
    paths = await result.save(tmp_path / "b")

    assert [path.name for path in paths] == [file.path.name for file in saved]
    for file in saved:
        data = file.path.read_bytes()
        assert SavedFile(file.path, digest(data), len(data)) == file


async def test_a_checksum_is_of_the_last_beginning(tmp_path):
    """Bytes from before a new start, on the disk or not yet, are in neither file nor checksum."""
    many = [begins(bytes(size), f'"{size}"') for size in (400_000, 10, 300_000)]
    async with Host(in_turn(*many, whole())) as host:
        saved = await host.image.download(tmp_path / "fox.png")

    assert SavedFile(tmp_path / "fox.png", digest(PICTURE), len(PICTURE)) == saved
    assert PICTURE == saved.path.read_bytes()


# The end of the session.


async def test_a_session_closed_during_a_download_does_not_end_it(tmp_path):
    """A save that runs when its session is closed continues over its own connection."""
    going, left = asyncio.Event(), asyncio.Event()

    async def answer(request):
        if len(host.asked) > 1:
            return reply()
        response = web.StreamResponse(headers={"ETag": '"one"', "Content-Length": str(len(PICTURE))})
        await response.prepare(request)
        await response.write(PICTURE[:600])
        going.set()
        await left.wait()
        return response

    async with Host(answer, ["/fox"]) as host:
        async with session_of(host) as fox:
            image = (await fox.fetch(TASK)).images[0]
            saving = asyncio.create_task(image.save(tmp_path / "fox.png"))
            await going.wait()
        left.set()

        assert PICTURE == (await saving).read_bytes()


async def test_another_loop_takes_connections_of_its_own(tmp_path):
    """While its session is open, a result can be saved on another thread's loop, where the session's
    connections do not work.
    """
    answer = in_turn(whole(), whole(), whole(b"", 404))
    async with Host(answer, ["/old"], ["/new"]) as host, session_of(host) as fox:
        image = (await fox.fetch(TASK)).images[0]
        await image.read()
        path = await asyncio.to_thread(asyncio.run, image.save(tmp_path / "fox.png"))
        with pytest.raises(DownloadError, match="HTTP 404; result files live"):
            await asyncio.to_thread(asyncio.run, image.read())

    assert PICTURE == path.read_bytes()
    assert 1 == host.reads


async def test_connections_that_are_closed_are_broken_not_a_bug():
    """Closing the session between two hops of a redirect breaks the try, which is repeated over another
    connection.
    """
    async with aiohttp.ClientSession() as closing:
        client = FileClient(closing, Proxy())

    with pytest.raises(ExchangeFailed, match="the session was closed"):
        async with client.get("http://127.0.0.1:9/fox", {}, 10, 10):
            pass
