"""The painter that uses Pillow. It makes any format, with the prompt on the picture.

The composition is painted small and enlarged. This is fast at 4K and gives the discs soft edges. Only the
text is drawn at full size.
"""

import functools
import io

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ._scene import Picture, Scene

_SKETCH_EDGE = 512
_MOST_LINES = 6
_LONGEST_PROMPT = 400
# The built-in font has only Latin letters. For other letters, the first of these fonts that is installed is used.
_WIDE_FACES = (
    "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "msyh.ttc",
    "PingFang.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
)
_SAVE: dict[str, dict[str, object]] = {
    "png": {"format": "PNG", "compress_level": 1},
    "jpg": {"format": "JPEG", "quality": 85},
    "webp": {"format": "WEBP", "quality": 80, "method": 0},
}

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def paint(picture: Picture, scene: Scene) -> bytes:
    """Encode the scene with the prompt on it."""
    size = picture.width, picture.height
    # Pillow's types refer to a type of NumPy, which may not be installed.
    image = _sketch(picture, scene).resize(size, Image.Resampling.BICUBIC)  # pyright: ignore[reportUnknownMemberType]
    _write(image, picture)
    buffer = io.BytesIO()
    image.save(buffer, **_SAVE[picture.format])  # type: ignore[arg-type]
    return buffer.getvalue()


def _sketch(picture: Picture, scene: Scene) -> Image.Image:
    scale = min(1.0, _SKETCH_EDGE / max(picture.width, picture.height))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    gradient = Image.linear_gradient("L").resize(size)  # pyright: ignore[reportUnknownMemberType] - as above
    image = ImageOps.colorize(gradient, scene.top, scene.bottom)
    for blob in scene.blobs:
        layer = Image.new("L", size)
        x, y, radius = blob.x * size[0], blob.y * size[1], blob.radius * max(size)
        ImageDraw.Draw(layer).ellipse((x - radius, y - radius, x + radius, y + radius), fill=150)
        image.paste(blob.colour, (0, 0), layer)
    return image


def _write(image: Image.Image, picture: Picture) -> None:
    edge = min(picture.width, picture.height)
    margin, size = edge // 20, max(8, edge // 20)
    prompt = _printable(picture.prompt)[:_LONGEST_PROMPT]
    font, small = _font(size, wide=not prompt.isascii()), _font(max(7, size * 3 // 5), wide=False)
    lines = _wrap(prompt, font, picture.width - 4 * margin)
    height = len(lines) * size * 5 // 4 + 2 * margin
    box = (margin, picture.height - margin - height, picture.width - margin, picture.height - margin)
    shade = Image.new("L", (box[2] - box[0], box[3] - box[1]))
    ImageDraw.Draw(shade).rounded_rectangle((0, 0, shade.width - 1, shade.height - 1), margin // 2, fill=130)
    image.paste((16, 18, 28), box[:2], shade)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((2 * margin, box[1] + margin + number * size * 5 // 4), line, "white", font)
    draw.text((margin, margin), picture.caption, "white", small)


def _printable(text: str) -> str:
    # Lone surrogates and control characters cannot be drawn.
    clean = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in clean).split())


def _wrap(text: str, font: Font, width: int) -> list[str]:
    lines = [""]
    for piece in _pieces(text):
        if font.getlength((lines[-1] + piece).rstrip()) <= width:
            lines[-1] += piece
        else:
            lines += _broken(piece, font, width) if font.getlength(piece.rstrip()) > width else [piece]
    lines = [line for line in lines if line.strip()]
    return lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1] + "…"]


def _pieces(text: str) -> list[str]:
    return [f"{word} " for word in text.split(" ")]


def _broken(word: str, font: Font, width: int) -> list[str]:
    # For scripts without spaces, and words wider than the picture.
    lines = [""]
    for letter in word:
        if lines[-1] and font.getlength(lines[-1] + letter) > width:
            lines.append("")
        lines[-1] += letter
    return lines


@functools.lru_cache(maxsize=64)
def _font(size: int, *, wide: bool) -> Font:
    for face in _WIDE_FACES if wide else ():
        try:
            return ImageFont.truetype(face, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
