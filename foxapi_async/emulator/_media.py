"""The files that are not pictures: a clip, a tone and a document. Each is the same for every task.

The clip is one second of a test picture, made with

    ffmpeg -f lavfi -i testsrc2=size=320x180:rate=12:duration=1 -c:v libx264 -profile:v baseline -pix_fmt yuv420p \
        -crf 34 -preset veryslow -movflags +faststart -fflags +bitexact -map_metadata -1 clip.mp4
"""

import functools
import io
import math
import struct
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

CONTENT_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "wav": "audio/wav",
    "zip": "application/zip",
}
EXTENSIONS = {"video": "mp4", "audio": "wav", "document": "zip"}
"""The extension of the files of a task, by its type. The extension of a picture depends on the request."""

_RATE = 8000
_SECONDS = 0.5
_HERTZ = 440


@functools.cache
def _clip() -> bytes:
    return Path(__file__).with_name("clip.mp4").read_bytes()


@functools.cache
def _tone() -> bytes:
    """Half a second of the note A, which begins and ends softly."""
    count = int(_RATE * _SECONDS)
    heights = (
        math.sin(2 * math.pi * _HERTZ * n / _RATE) * math.sin(math.pi * n / count) for n in range(count)
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE)
        sound.writeframes(b"".join(struct.pack("<h", round(20_000 * height)) for height in heights))
    return file.getvalue()


@functools.cache
def _document() -> bytes:
    """An archive with a page. It names no time, so its bytes are always the same."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("document.md"), "# A document\n\nThe emulator made it.\n")
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {"mp4": _clip, "wav": _tone, "zip": _document}
"""The files that are not pictures, by their extension."""
