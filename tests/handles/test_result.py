"""Results as values: without key or connection, and with file names from the SDK."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async._errors import DownloadError
from foxapi_async._files.values import FileRequest, SavedFile, Target
from foxapi_async._handles import result as result_module
from foxapi_async._handles.result import GeneratedImage, Outcome, TaskResult
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot, snapshot_of
from foxapi_async._wire.replies import ResultFile, TaskProblem, TaskReply, UploadedFile

URL = "https://cdn.test/a.png"


class FakeDownloads:
    """Downloads that record their calls."""

    def __init__(self) -> None:
        self.asked: list[Target] = []

    def __reduce__(self):
        raise AssertionError("a connection must not be pickled")

    async def save(self, wanted: Sequence[tuple[FileRequest, Target]]) -> list[SavedFile]:
        targets = [target for _, target in wanted]
        self.asked += targets
        paths = [target.path if target.exact else Path(f"{target.path}.png") for target in targets]
        return [SavedFile(path, "ab" * 32, 5) for path in paths]

    async def read(self, file: FileRequest) -> bytes:
        return file.url.encode()


def image(port: FakeDownloads | None = None) -> GeneratedImage:
    raw = {"url": URL, "width": 5}
    if port is None:
        return GeneratedImage(URL, "image/png", raw=raw)
    files = (ResultFile(URL, "image/png", raw),)
    return snapshot_of(TaskReply(id="task-1", files=files), port).images[0]


def result(port: FakeDownloads | None = None, task_id: str = "task-1", count: int = 2) -> TaskResult:
    return TaskResult(
        task_id=task_id,
        model="m",
        images=(image(port),) * count,
        usage={"credits_reserved": 5},
        elapsed=1.5,
        raw={},
    )


def values() -> list[object]:
    port = FakeDownloads()
    snapshot = TaskSnapshot(
        id="task-1",
        images=(image(port),),
        error=TaskProblem(code="c", message="m"),
        usage={"a": 1},
        raw={"b": [2]},
    )
    event = TaskEvent(
        task_id="task-1",
        model="m",
        status="completed",
        progress=100,
        elapsed=1.0,
        remaining=0.0,
        final=True,
        snapshot=snapshot,
    )
    outcome = Outcome(index=0, request=None, task_id="task-1", result=result(port), error=None)
    saved = SavedFile(Path("out/task-1-1.png"), "ab" * 32, 5)
    return [image(port), result(port), snapshot, event, outcome, UploadedFile(url=URL, raw={"c": 3}), saved]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_values_survive_pickle_and_copy(value):
    """A value is frozen, hashable, and equal after a pickle or a copy; its connection is not copied."""
    pickled = pickle.dumps(value)

    for again in (pickle.loads(pickled), copy.copy(value), copy.deepcopy(value)):
        assert value == again
        assert hash(value) == hash(again)
        assert repr(value) == repr(again)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, "x")


def test_a_pickled_image_keeps_what_it_knows():
    """URL, type, task and the whole result object are pickled; the downloads are not."""
    again = pickle.loads(pickle.dumps(image(FakeDownloads())))

    assert (again.url, again.content_type, again.task_id) == (URL, "image/png", "task-1")
    assert again.raw == {"url": URL, "width": 5}
    assert again._downloads is None


def test_the_port_is_no_part_of_the_value():
    """Images are equal in all sessions, and do not show theirs."""
    assert image(FakeDownloads()) == image(FakeDownloads())
    assert "Fake" not in repr(image(FakeDownloads()))


async def test_an_image_without_a_session_takes_the_standalone_port(monkeypatch):
    """An unpickled image fetches itself through downloads made for the call."""
    port = FakeDownloads()
    monkeypatch.setattr(result_module, "standalone", lambda: port)

    assert await pickle.loads(pickle.dumps(image(port))).read() == URL.encode()
    assert await image().save("x.png") == Path("x.png")


@pytest.mark.thorough
def test_an_unpickled_image_finds_its_way_alone():
    """In a process that used nothing else of the package, an unpickled image still fetches itself."""
    data = pickle.dumps(GeneratedImage("http://127.0.0.1:1/a.png"))
    code = f"import asyncio, pickle; asyncio.run(pickle.loads({data!r}).read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "DownloadError: cannot download: cannot connect to 127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    ("path", "exact"), [("a/b.png", True), ("a/b", False), (Path("c.jpeg"), True), (".hidden", False)]
)
@pytest.mark.parametrize("overwrite", [False, True])
async def test_an_image_is_saved_at_the_given_path(path, exact, overwrite):
    """A path with an ending is used as given; one without gets the ending of the content."""
    port = FakeDownloads()
    await image(port).save(path, overwrite=overwrite)

    assert port.asked == [Target(path=Path(path), exact=exact, overwrite=overwrite)]


async def test_a_result_saves_all_its_images():
    """The files are named after the task and counted from 1, in the order of the reply."""
    port = FakeDownloads()

    assert await result(port).save("out") == [Path("out/task-1-1.png"), Path("out/task-1-2.png")]
    assert all(not target.exact and not target.overwrite for target in port.asked)
    assert await result(port, count=0).save("out") == []


async def test_overwriting_is_passed_on():
    """`overwrite=True` reaches every file."""
    port = FakeDownloads()
    await result(port).save(Path("out"), overwrite=True)
    await result(port).download(Path("out"), overwrite=True)

    assert [target.overwrite for target in port.asked] == [True] * 4


async def test_saving_is_downloading_without_the_checksums():
    """`save` returns the paths of the files that `download` returns, for a result and for an image."""
    port = FakeDownloads()
    files = await result(port).download("out")
    file = await image(port).download("fox.png")

    assert files == [SavedFile(Path(f"out/task-1-{n}.png"), "ab" * 32, 5) for n in (1, 2)]
    assert file == SavedFile(Path("fox.png"), "ab" * 32, 5)
    assert await result(port).save("out") == [saved.path for saved in files]
    assert await image(port).save("fox.png") == file.path
    assert await result(port, count=0).download("out") == []


@pytest.mark.parametrize("suffix", [".avif", ".gif", ".jpeg", ".jpg", ".png", ".webp", ".PNG", ".heic"])
async def test_a_result_refuses_an_image_name_as_directory(suffix):
    """`result.save("fox.png")` is refused before anything is fetched, and the error names images[0].save."""
    port = FakeDownloads()
    with pytest.raises(DownloadError, match=r"images\[0\]\.save") as caught:
        await result(port).save(f"out/fox{suffix}")

    assert caught.value.task_id == "task-1"
    assert caught.value.charged == "yes"
    assert port.asked == []


@given(st.text())
async def test_files_stay_in_their_directory(task_id):
    """With every id, a result's files are directly in the directory."""
    paths = await result(FakeDownloads(), task_id=task_id).save("out")

    assert {path.parent for path in paths} == {Path("out")}
    assert len(set(paths)) == 2


async def test_an_image_inside_the_reply_is_saved(tmp_path):
    """A `data:` address gives its bytes without a request. The repr stays short."""
    image = GeneratedImage("data:image/png;base64,iVBORw0KGgo=")
    path = await image.save(tmp_path / "portrait of Dr. Fox")

    assert tmp_path / "portrait of Dr. Fox.png" == path
    assert b"\x89PNG\r\n\x1a\n" == path.read_bytes()
    assert len(repr(GeneratedImage(f"data:;base64,{'A' * 9000}"))) < 400


async def test_an_image_that_cannot_be_decoded_is_a_download_error():
    """Broken base64 in a reply is never a file."""
    with pytest.raises(DownloadError, match="cannot be decoded"):
        await GeneratedImage("data:image/png;base64,a*b").read()


def test_a_result_is_shown_in_a_notebook():
    """The images are shown from their addresses, and nothing in an address becomes an element."""
    images = tuple(
        GeneratedImage(url=f"https://h.example/{name}", content_type=None, task_id="t", raw={})
        for name in ("a.png", '"><script>')
    )
    result = TaskResult(task_id="t", model="m", images=images, usage={}, elapsed=1.0, raw={})

    assert result._repr_html_() == (
        '<img src="https://h.example/a.png" style="max-width: 24rem"> '
        '<img src="https://h.example/&quot;&gt;&lt;script&gt;" style="max-width: 24rem">'
    )
