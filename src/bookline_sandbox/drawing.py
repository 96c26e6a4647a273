"""Draws covers: a coloured ground, a shape, the title and the author.

Rule 1: the same book and size give the same bytes on one version of Pillow.
Units:  everything is drawn in shares of the picture's width.
"""

import colorsys
import io
import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

PALETTES = (  # ground, shape, second shape, letters
    ("#12263a", "#06bcc1", "#c5d8d1", "#f4edea"),
    ("#f2e8cf", "#bc4749", "#386641", "#2b2d20"),
    ("#3d405b", "#e07a5f", "#81b29a", "#f4f1de"),
    ("#fefae0", "#dda15e", "#606c38", "#283618"),
    ("#0b132b", "#5bc0be", "#3a506b", "#ffffff"),
    ("#7f1d1d", "#f59e0b", "#b91c1c", "#fff7ed"),
    ("#ede7e3", "#16697a", "#ffa62b", "#12343b"),
    ("#2d1e2f", "#f15946", "#e03616", "#fff5f2"),
    ("#e9f1f7", "#1d4e89", "#f7b267", "#10243e"),
    ("#1b4332", "#95d5b2", "#40916c", "#f1faee"),
    ("#f6bd60", "#84a59d", "#f28482", "#2f2a26"),
    ("#4a2545", "#dcccbb", "#824c71", "#fdf6f0"),
    ("#f8f4f0", "#222222", "#d62828", "#1a1a1a"),
    ("#264653", "#e9c46a", "#2a9d8f", "#fdfcf7"),
)
_SPELT = {"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "Æ": "Ae", "œ": "oe"}
_SPELT |= {"—": "-", "–": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "đ": "d", "ı": "i"}


def picture(
    title: str, author: str, seed: int, size: tuple[int, int], kind: str, *, curl: bool = False
) -> bytes:
    """The cover in this size (pixels) and kind (JPEG, PNG or WEBP)."""
    width, height = size
    scale = 2 if width < 1000 else 1  # drawn larger, for smooth edges
    image = Image.new("RGB", (width * scale, height * scale), PALETTES[seed % len(PALETTES)][0])
    _decorate(ImageDraw.Draw(image), image.size, seed)
    _letter(ImageDraw.Draw(image), image.size, seed, title, author)
    if scale > 1:
        image = image.resize(size, Image.Resampling.LANCZOS)
    if curl:
        _curl(image)
    return _encoded(image, kind)


@lru_cache(maxsize=64)
def placeholder(size: tuple[int, int]) -> bytes:
    """The grey "image not available" that Google sends with status 200."""
    image = Image.new("RGB", size, "#f0f0f0")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline="#c8c8c8")
    font = ImageFont.load_default(size=max(8, size[0] // 9))
    for line, words in enumerate(("image", "not", "available")):
        where = (size[0] / 2, size[1] * (0.38 + 0.12 * line))
        draw.text(where, words, fill="#9b9b9b", font=font, anchor="mm")
    return _encoded(image, "PNG")


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=86)
    return buffer.getvalue()


def _decorate(draw: ImageDraw.ImageDraw, size: tuple[int, int], seed: int) -> None:
    wide, high = size
    ground, first, second, _ = PALETTES[seed % len(PALETTES)]
    match seed // len(PALETTES) % 6:
        case 0:  # a rising sun over two hills
            top = high * 0.52
            draw.ellipse((wide * 0.25, top, wide * 0.75, top + wide / 2), fill=first)
            draw.ellipse((-wide * 0.5, high * 0.78, wide * 0.8, high * 1.3), fill=second)
            draw.ellipse((wide * 0.3, high * 0.84, wide * 1.6, high * 1.4), fill=_darker(second))
        case 1:  # bands
            for band in range(7):
                top = high * (0.55 + band * 0.065)
                colour = (first, second)[band % 2]
                draw.rectangle((0, top, wide, top + high * 0.034), fill=colour)
        case 2:  # rings
            for ring in range(6, 0, -1):
                radius = wide * 0.085 * ring
                box = (
                    wide * 0.72 - radius, high * 0.74 - radius,
                    wide * 0.72 + radius, high * 0.74 + radius,
                )  # fmt: skip
                draw.ellipse(box, fill=(first, ground, second)[ring % 3])
        case 3:  # a frame and a panel for the title
            edge = wide * 0.045
            draw.rectangle(
                (edge, edge, wide - edge, high - edge), outline=first, width=max(1, wide // 90)
            )
            draw.polygon(
                [(wide / 2, high * 0.56), (wide * 0.72, high * 0.71), (wide / 2, high * 0.86),
                 (wide * 0.28, high * 0.71)], fill=first,
            )  # fmt: skip
            draw.polygon(
                [(wide / 2, high * 0.62), (wide * 0.63, high * 0.71), (wide / 2, high * 0.8),
                 (wide * 0.37, high * 0.71)], fill=second,
            )  # fmt: skip
        case 4:  # slanting fields
            draw.polygon([(0, high * 0.7), (wide, high * 0.5), (wide, high), (0, high)], fill=first)
            lower = [(0, high * 0.82), (wide, high * 0.7), (wide, high), (0, high)]
            draw.polygon(lower, fill=second)
        case _:  # quarter circles on a grid
            step = wide / 4
            for column in range(4):
                for row in range(3):
                    left, top = column * step, high - (row + 1) * step
                    turn = (seed // 84 + column * 3 + row * 5) % 4 * 90
                    box = (left + step * 0.04, top + step * 0.04, left + step, top + step)
                    draw.pieslice(box, turn, turn + 270, fill=(first, second)[(column + row) % 2])


def _letter(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], seed: int, title: str, author: str
) -> None:
    wide, high = size
    colour = PALETTES[seed % len(PALETTES)][3]
    lines, font = _fitted(draw, drawable(title), wide * 0.82, high * 0.36)
    top = high * 0.09
    for line in lines:
        draw.text(
            (wide * 0.09, top), line, fill=colour, font=font, stroke_width=font.size * 0.022,
            stroke_fill=colour,
        )  # fmt: skip
        top += font.size * 1.14
    small = _font(wide * 0.058)
    draw.line(
        (wide * 0.09, top + wide * 0.035, wide * 0.24, top + wide * 0.035),
        fill=PALETTES[seed % len(PALETTES)][1], width=max(1, round(wide * 0.012)),
    )  # fmt: skip
    for line in _wrapped(draw, drawable(author), small, wide * 0.82)[:2]:
        draw.text((wide * 0.09, top + wide * 0.06), line, fill=colour, font=small)
        top += small.size * 1.25


def _fitted(
    draw: ImageDraw.ImageDraw, text: str, wide: float, high: float
) -> tuple[list[str], ImageFont.FreeTypeFont]:
    for share in (0.17, 0.15, 0.13, 0.115, 0.1, 0.085, 0.07, 0.058):
        font = _font(wide * share)
        lines = _wrapped(draw, text, font, wide)
        fits = all(draw.textlength(line, font=font) <= wide for line in lines)
        if fits and len(lines) * font.size * 1.14 <= high:
            return lines, font
    return lines[:6], font


def _wrapped(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, wide: float
) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(longer, font=font) <= wide:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=256)
def _sized_font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType")
    return font


def _font(size: float) -> ImageFont.FreeTypeFont:
    return _sized_font(max(5, round(size)))


def drawable(text: str) -> str:
    """The text in the letters of Pillow's own font, which are those of ASCII; others dropped."""
    spelt = "".join(_SPELT.get(letter, letter) for letter in text)
    plain = unicodedata.normalize("NFKD", spelt)
    return "".join(letter for letter in plain if " " <= letter <= "~").strip()


def _darker(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    hue, light, much = colorsys.rgb_to_hls(red, green, blue)
    parts = colorsys.hls_to_rgb(hue, light * 0.78, much)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


def _curl(image: Image.Image) -> None:
    """The turned lower right corner of Google's edge=curl."""
    wide, high = image.size
    fold = wide * 0.14
    draw = ImageDraw.Draw(image)
    draw.polygon([(wide, high - fold), (wide, high), (wide - fold, high)], fill="#ffffff")
    draw.polygon(
        [(wide, high - fold), (wide - fold, high), (wide - fold, high - fold)], fill="#d9d9d9"
    )
