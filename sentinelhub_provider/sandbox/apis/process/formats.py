"""Chooses the form of the answer by ``format`` of a response, or by the ``Accept`` header, which has precedence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sentinelhub_provider.sandbox.errors import invalid

PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
TIFF: Final = "image/tiff"
JSON: Final = "application/json"
TAR: Final = "application/tar"
X_TAR: Final = "application/x-tar"
MULTIPART: Final = "multipart/mixed"

IMAGES: Final = (PNG, JPEG, TIFF)
ARCHIVES: Final = (TAR, X_TAR, MULTIPART)
EXTENSIONS: Final = {PNG: "png", JPEG: "jpg", TIFF: "tif", JSON: "json"}
DEFAULT_QUALITY: Final = 90


@dataclass(frozen=True)
class Format:
    """Form of one file, with its media type, and the quality (0..100) of a JPEG."""

    media_type: str = PNG
    quality: int = DEFAULT_QUALITY

    @property
    def is_json(self) -> bool:
        """Whether it is JSON and no image."""
        return self.media_type == JSON

    @property
    def extension(self) -> str:
        """Ending of the file's name, without the dot."""
        return EXTENSIONS[self.media_type]


def parse_format(value: Any, path: str, *, json_by_default: bool = False) -> Format:
    """Check ``output.responses[n].format``."""
    default = JSON if json_by_default else PNG
    if value is None:
        return Format(default)
    if not isinstance(value, Mapping):
        raise invalid(path, "must be an object with a type", value)
    media_type = value.get("type", default)
    if media_type not in (*IMAGES, JSON):
        raise invalid(f"{path}->type", f"must be one of {', '.join((*IMAGES, JSON))}", media_type)
    quality = value.get("quality", DEFAULT_QUALITY)
    if isinstance(quality, bool) or not isinstance(quality, int) or not 0 <= quality <= 100:
        raise invalid(f"{path}->quality", "must be a whole number from 0 to 100", quality)
    return Format(str(media_type), quality)


def accepted(header: str | None) -> str | None:
    """Return the existing media type that the ``Accept`` header prefers, ``None`` if it leaves the choice open.

    Raises :class:`~..errors.ApiError` when it allows nothing that the API can answer with.
    """
    if header is None or not header.strip():
        return None
    ranked: list[tuple[float, int, str]] = []
    open_ended = False
    for position, part in enumerate(header.split(",")):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, text = parameter.partition("=")
            if key.strip().lower() == "q":
                try:
                    weight = float(text)
                except ValueError:
                    weight = 0.0
        if weight <= 0:
            continue
        name = name.lower()
        if name in (*IMAGES, *ARCHIVES, JSON):
            ranked.append((-weight, position, name))
        elif name in ("*/*", "image/*", "application/*", "multipart/*"):
            open_ended = True
    if ranked:
        return min(ranked)[2]
    if open_ended:
        return None
    raise invalid(
        "Accept",
        f"must be one of {', '.join((*IMAGES, JSON, *ARCHIVES))}; application/octet-stream is not offered here",
        header,
    )
