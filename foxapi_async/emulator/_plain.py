"""The painter of the standard library: a PNG with the scene's colours, from top to bottom."""

import struct
import zlib

from ._scene import Picture, Scene

_SHADES = 256


def paint(picture: Picture, scene: Scene) -> bytes:
    """Encode the background of the scene. Only the painter with Pillow draws its discs and the prompt."""
    palette = b"".join(
        bytes(
            round(a + (b - a) * shade / (_SHADES - 1)) for a, b in zip(scene.top, scene.bottom, strict=True)
        )
        for shade in range(_SHADES)
    )
    rows = b"".join(
        b"\0" + bytes([y * _SHADES // picture.height]) * picture.width for y in range(picture.height)
    )
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 3, 0, 0, 0)
    parts = (b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
