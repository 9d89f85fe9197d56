"""Paints pictures, and keeps the latest in a cache of limited size.

Pillow paints them if it is installed. Without it the standard library paints simpler ones, always as PNG, and
the log says so once.
"""

import asyncio
import functools
import importlib
import io
import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from ._scene import Format, Picture, compose

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A few dozen pictures of 1K, or a few of 4K.
_MEMORY_BYTES = 48 * 1024 * 1024

logger = logging.getLogger("foxapi_async.emulator")


def have_pillow() -> bool:
    """Whether Pillow can be imported."""
    try:
        importlib.import_module("PIL.Image")
    except ImportError:
        return False
    return True


def usable_format(asked: object, default: Format) -> Format:
    """The format in which a picture is served for this `output_format`."""
    names: dict[object, Format] = {"jpg": "jpg", "jpeg": "jpg", "webp": "webp", "png": "png"}
    wanted = names.get(asked, default)
    if wanted != "png" and not have_pillow():
        _say_once(wanted)
        return "png"
    return wanted


@functools.cache
def _say_once(wanted: str) -> None:
    logger.warning(
        "Pillow is not installed, so the emulator serves PNG instead of %s: pip install 'foxapi-async[emulator]'",
        wanted,
    )


def render(picture: Picture) -> bytes:
    """Paint a picture and encode it."""
    scene = compose(picture)
    if have_pillow():
        from ._pillow import paint  # noqa: PLC0415 (optional)

        return paint(picture, scene)
    from ._plain import paint as paint_plain  # noqa: PLC0415 (either painter, never both)

    return paint_plain(picture, scene)


def measure(data: bytes) -> tuple[int, int] | None:
    """Width and height of an image file, or None if it is not an image. Without Pillow only PNG is read."""
    if data.startswith(_SIGNATURE) and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if not have_pillow():
        return None
    from PIL import Image  # noqa: PLC0415 (optional)

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


class Gallery:
    """Paints in its own threads, and caches the latest pictures within a fixed amount of memory.

    The loop's default executor stays free for the client under test, which may share the loop.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="foxapi-emulator")
        self._known: OrderedDict[Picture, bytes] = OrderedDict()
        self._size = 0

    async def get(self, picture: Picture) -> bytes:
        """The encoded picture."""
        if picture in self._known:
            self._known.move_to_end(picture)
            return self._known[picture]
        data = await asyncio.get_running_loop().run_in_executor(self._threads, render, picture)
        self._remember(picture, data)
        return data

    def _remember(self, picture: Picture, data: bytes) -> None:
        if picture not in self._known:  # two requests may have painted the same picture
            self._known[picture] = data
            self._size += len(data)
        while self._size > _MEMORY_BYTES:
            self._size -= len(self._known.popitem(last=False)[1])

    def close(self) -> None:
        """Cancel the pictures that are not begun. A thread that is painting ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
