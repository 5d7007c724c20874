"""A contact sheet of pictures, each with its date and cloud cover, and a legend of the colours."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from airflow.sdk import ObjectStoragePath
from PIL import Image, ImageDraw, ImageFont

# The colours of ndvi.js.
RAMP = (
    (-0.1, "#c9b79c"),
    (0.1, "#e3d3ab"),
    (0.25, "#f4e595"),
    (0.4, "#bfd562"),
    (0.55, "#7db646"),
    (0.7, "#3f9142"),
    (0.85, "#14673a"),
    (1.0, "#053d2a"),
)
NEUTRAL = {"water": "#a8c4d9", "cloud": "#e6e6e8", "cloud shadow": "#9e9ea3", "snow": "#fafaff"}

PAPER, INK, MUTED, LINE = "#ffffff", "#1d2521", "#66706a", "#c9cfcb"
MARGIN, GAP, HEAD, LABEL, FOOT = 48, 24, 150, 76, 124  # pixels
MAX_COLUMNS = 4
LEGEND_WIDTH, LEGEND_HEIGHT = 600, 24

REAL = "Contains modified Copernicus Sentinel data {year}, processed with Sentinel Hub"
SYNTHETIC = "Synthetic scenes of the Sentinel Hub sandbox: not observations"


def draw_sheet(path: str, *, title: str, scenes: Sequence[Mapping[str, Any]]) -> None:
    """Lay pictures of one size out on a sheet and write it as PNG.

    :param path: path of the PNG, local or in object storage.
    :param scenes: for each picture its ``picture`` (path), ``date``, and ``address`` of its data.
    """
    pictures = [open_picture(scene["picture"]) for scene in scenes]
    width, height = pictures[0].size
    columns = _columns(len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Image.new(
        "RGB",
        (
            max(2 * MARGIN + columns * width + (columns - 1) * GAP, 2 * MARGIN + 3 * width + 2 * GAP),
            HEAD + rows * (height + LABEL) + FOOT,
        ),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 36), title, INK, _font(46))
    draw.text((MARGIN, 96), _credit(scenes), MUTED, _font(24))
    for position, (scene, picture) in enumerate(zip(scenes, pictures, strict=True)):
        row, column = divmod(position, columns)
        x, y = MARGIN + column * (width + GAP), HEAD + row * (height + LABEL)
        _place(sheet, draw, picture, (x, y))
        _label(draw, (x, y + height + 14), width, scene["date"], cloud_cover(picture))
    _legend(draw, (MARGIN, sheet.height - FOOT + 24))
    with ObjectStoragePath(path).open("wb") as file:
        sheet.save(file, "PNG")


def cloud_cover(picture: Image.Image) -> float:
    """Return the clouded share of a picture's area in percent. A scene's own figure is that of its whole tile."""
    colours = picture.getcolors(picture.width * picture.height) or []
    seen = sum(count for count, (*_, alpha) in colours if alpha)
    clouded = sum(count for count, (*colour, alpha) in colours if alpha and tuple(colour) == _rgb(NEUTRAL["cloud"]))
    return 100 * clouded / seen if seen else 0.0


def open_picture(path: str) -> Image.Image:
    """Read a picture of ndvi.js, local or in object storage."""
    with ObjectStoragePath(path).open("rb") as file:
        return Image.open(file).convert("RGBA")


def _columns(count: int) -> int:
    """Return the widest row that leaves no row with a single picture less than needed."""
    rows = -(-count // MAX_COLUMNS)
    return -(-count // rows)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # it comes with Pillow, so it is the same everywhere


def _credit(scenes: Sequence[Mapping[str, Any]]) -> str:
    synthetic = "sandbox" in scenes[0]["address"]
    clearest = "Sentinel-2 L2A, clearest day of each month"
    return f"{clearest}.  {SYNTHETIC if synthetic else REAL.format(year=scenes[0]['date'][:4])}."


def _place(sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image, corner: tuple[int, int]) -> None:
    """Paste a picture with a thin frame. Hatching shows through where it has no data."""
    x, y = corner
    width, height = picture.size
    ground = Image.new("RGB", picture.size, "#f7f7f7")
    hatching = ImageDraw.Draw(ground)
    for offset in range(-height, width, 12):
        hatching.line((offset, height, offset + height, 0), "#dddddd")
    ground.paste(picture, mask=picture.getchannel("A"))
    sheet.paste(ground, corner)
    draw.rectangle((x - 1, y - 1, x + width, y + height), outline=LINE)


def _label(draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int, day: str, clouded: float) -> None:
    """Write the date at the left edge and the area's cloud cover at the right edge, below a picture."""
    x, y = corner
    on = date.fromisoformat(day)
    draw.text((x, y), f"{on.day} {on:%B %Y}", INK, _font(28))
    draw.text((x + width, y + 4), f"{clouded:.0f} % cloud", MUTED, _font(24), anchor="ra")


def _legend(draw: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
    """Draw the colour ramp with its values, and the neutral colours with their names."""
    x, y = corner
    low, high = RAMP[0][0], RAMP[-1][0]
    for step in range(LEGEND_WIDTH):
        draw.line(
            (x + step, y, x + step, y + LEGEND_HEIGHT), ramp_colour(low + (high - low) * step / (LEGEND_WIDTH - 1))
        )
    for value in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        at = x + round((value - low) / (high - low) * (LEGEND_WIDTH - 1))
        draw.line((at, y + LEGEND_HEIGHT, at, y + LEGEND_HEIGHT + 6), MUTED)
        draw.text((at, y + LEGEND_HEIGHT + 10), f"{value:.1f}", MUTED, _font(20), anchor="ma")
    draw.text((x + LEGEND_WIDTH + 24, y - 1), "NDVI", INK, _font(24))
    at = x + LEGEND_WIDTH + 150
    for name, colour in NEUTRAL.items():
        draw.rectangle((at, y, at + 28, y + LEGEND_HEIGHT), fill=colour, outline=LINE)
        draw.text((at + 38, y - 1), name, MUTED, _font(24))
        at += 38 + round(_font(24).getlength(name)) + 34


def ramp_colour(value: float) -> tuple[int, int, int]:
    """Return the colour of an NDVI value, as ndvi.js mixes it."""
    for (low, first), (high, second) in itertools.pairwise(RAMP):
        if value <= high:
            share = max(0.0, (value - low) / (high - low))
            mixed = [round(a + (b - a) * share) for a, b in zip(_rgb(first), _rgb(second), strict=True)]
            return mixed[0], mixed[1], mixed[2]
    return _rgb(RAMP[-1][1])


def _rgb(colour: str) -> tuple[int, int, int]:
    number = int(colour[1:], 16)
    return number >> 16, number >> 8 & 255, number & 255
