"""The painter of the standard library: a palette PNG of large cells, with the prompt in a 3 x 5 font.

Everything, letters included, is drawn on a grid of about a hundred cells across the shorter edge, and then
enlarged. So time and file size hardly depend on the size of the picture.
"""

import struct
import zlib

from ._scene import Colour, Picture, Scene

_CELLS = 112
_SHADES = 24
_INK = 63
# Added to a colour's number, this gives the same colour in the shade of the text panel.
_PANEL = 64
_LINE = 6
_ADVANCE = 4

# Each letter is five rows of three dots. A row is an octal digit.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-!?':/()+="
_DOTS = (
    "25755 65656 34443 65556 74647 74644 34553 55755 72227 11152 55655 44447 57755 57775 25552 65644 "
    "25563 65655 34216 72222 55557 55552 55775 55255 55222 71247 75557 26227 71747 71317 55711 74716 "
    "74757 71122 75757 75717 00002 00024 00700 22202 71202 22000 02020 11244 12221 42224 02720 07070"
)
_FACE = {letter: [int(row) for row in rows] for letter, rows in zip(_LETTERS, _DOTS.split(" "), strict=True)}


def paint(picture: Picture, scene: Scene) -> bytes:
    """Encode the scene with the prompt on it."""
    cell = max(1, min(picture.width, picture.height) // _CELLS)
    grid = _background(-(-picture.width // cell), -(-picture.height // cell), scene)
    _write(grid, picture.prompt)
    return _png(picture.width, picture.height, _palette(scene), _rows(grid, cell, picture))


def _background(columns: int, rows: int, scene: Scene) -> list[bytearray]:
    grid = [bytearray([row * _SHADES // rows]) * columns for row in range(rows)]
    for number, blob in enumerate(scene.blobs):
        x, y, radius = blob.x * columns, blob.y * rows, blob.radius * max(columns, rows)
        for row in range(max(0, int(y - radius)), min(rows, int(y + radius) + 1)):
            half = max(0.0, radius**2 - (row - y) ** 2) ** 0.5
            left, right = max(0, int(x - half)), min(columns, int(x + half))
            grid[row][left:right] = bytes([_SHADES + number]) * max(0, right - left)
    return grid


def _write(grid: list[bytearray], prompt: str) -> None:
    across = max(1, (len(grid[0]) - 8) // _ADVANCE)
    text = " ".join(prompt.upper().split())[: across * 6]
    lines = [text[start : start + across] for start in range(0, len(text), across)]
    top = max(0, len(grid) - len(lines) * _LINE - 6)
    for row in grid[top:]:
        row[:] = bytes(number + _PANEL for number in row)
    for number, line in enumerate(lines):
        for position, letter in enumerate(line):
            _stamp(grid, 4 + position * _ADVANCE, top + 3 + number * _LINE, letter)


def _stamp(grid: list[bytearray], left: int, top: int, letter: str) -> None:
    rows = [0] * 5 if letter == " " else _FACE.get(letter, _FACE["?"])
    for row, dots in enumerate(rows):
        for column in range(3):
            if dots & (4 >> column) and top + row < len(grid) and left + column < len(grid[0]):
                grid[top + row][left + column] = _INK


def _palette(scene: Scene) -> bytes:
    shades = [_between(scene.top, scene.bottom, step / (_SHADES - 1)) for step in range(_SHADES)]
    colours = [*shades, *(blob.colour for blob in scene.blobs)]
    colours += [(255, 255, 255)] * (_PANEL - len(colours))
    panel = [_between(colour, (16, 18, 28), 0.55) for colour in colours]
    return b"".join(map(bytes, colours + panel))


def _between(start: Colour, end: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    return red, green, blue


def _rows(grid: list[bytearray], cell: int, picture: Picture) -> bytes:
    wide = [bytes([number]) * cell for number in range(256)]
    rows = (b"\0" + b"".join(wide[number] for number in row)[: picture.width] for row in grid)
    return b"".join(row * cell for row in rows)[: picture.height * (picture.width + 1)]


def _png(width: int, height: int, palette: bytes, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
