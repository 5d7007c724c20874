"""Evalscripts: a small set with names, whose texts lie beside this module, and the checks of any other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from sentinelhub_provider.api.evalscripts.setup import is_simple, parse_version
from sentinelhub_provider.api.values import without_bom
from sentinelhub_provider.exceptions import SentinelHubRequestError

EVALSCRIPTS: Mapping[str, str] = MappingProxyType(
    {
        "true-colour": "Sentinel-2 in natural colours with transparency where there are no data; for PNG",
        "ndvi": "Vegetation: normalized difference of near infrared and red (Sentinel-2)",
        "ndvi-clear": "NDVI that counts only pixels without cloud and cloud shadow (Sentinel-2 L2A)",
        "ndwi": "Open water: normalized difference of green and near infrared (Sentinel-2)",
        "ndmi": "Moisture of vegetation: normalized difference of near and short-wave infrared (Sentinel-2)",
        "scl-mask": "1 where the scene classification sees ground or water, 0 under cloud and shadow (Sentinel-2 L2A)",
    }
)
"""Names of the scripts that come with this package, and what each shows."""

_DIFFERENCES = {
    "ndvi": ("B08", "B04", "Vegetation, near infrared and red: Rouse, Haas, Schell, Deering, NASA SP-351, 1974"),
    "ndwi": ("B03", "B08", "Open water, green and near infrared: McFeeters, Int. J. Remote Sensing 17 (7), 1996"),
    "ndmi": ("B08", "B11", "Moisture, near and short-wave infrared: Gao, Remote Sensing of Environment 58 (3), 1996"),
}
"""Scripts of one form: two bands, and where the index comes from."""

_FIRST_DIALECT = re.compile(r"\bset(?:InputComponents|OutputComponentCount)\s*\(")
"""Functions that only scripts of version 1 call."""

_NAME = re.compile(r"\w[\w -]*")


@cache
def named_evalscript(name: str) -> str:
    """Return the text of a named script."""
    if name not in EVALSCRIPTS:
        nearest = " or ".join(repr(known) for known in sorted(get_close_matches(name, EVALSCRIPTS, n=2, cutoff=0.5)))
        hint = f"Did you mean {nearest}? " if nearest else ""
        raise SentinelHubRequestError(
            f"evalscript {name!r} is neither a script nor one of the names {', '.join(EVALSCRIPTS)}. {hint}"
            "Give a script that begins with //VERSION=3, a path that ends in .js, or one of the names."
        )
    file = "normalized_difference" if name in _DIFFERENCES else name.replace("-", "_")
    text = files(__package__).joinpath(f"{file}.js").read_text(encoding="utf-8")
    for word, value in zip(("ONE", "OTHER", "ABOUT"), _DIFFERENCES.get(name, ()), strict=False):
        text = re.sub(rf"\b{word}\b", value, text)
    return text


def read_evalscript(value: Any) -> str:
    """Return the text of an evalscript that is given by its text or its name, checked."""
    if isinstance(value, str):
        value = without_bom(value)
    if isinstance(value, str) and _NAME.fullmatch(value.strip()) and not is_simple(value):
        name = re.sub(r"[_ ]", "-", value.strip().lower())
        return named_evalscript("true-colour" if name == "true-color" else name)
    check_evalscript(value)
    return str(value)


def check_evalscript(text: object, *, for_statistics: bool = False) -> None:
    """Refuse what is no evalscript of version 3 and no simple script; ``for_statistics``: or has no ``dataMask``."""
    if not isinstance(text, str) or not text.strip():
        raise SentinelHubRequestError(
            f"evalscript is {'empty' if isinstance(text, str) else repr(text)}. Give a script, a path that ends in "
            f".js, or one of the names {', '.join(EVALSCRIPTS)}."
        )
    if not is_simple(text):
        version = parse_version(text)
        # The service withdrew the older versions: it reads a script with both functions as version 3 without the line.
        lacking = {"setup", "evaluatePixel"} - set(re.findall(r"\w+", text))
        if version is None and (lacking or _FIRST_DIALECT.search(text)):
            raise SentinelHubRequestError(
                "evalscript has no version. Begin it with a line //VERSION=3, and let setup() return the input and the "
                "output."
            )
        if version not in (None, "3"):
            raise SentinelHubRequestError(
                f"evalscript is of version {version}. Only //VERSION=3 has the setup() and outputs that requests name."
            )
    elif for_statistics:
        raise SentinelHubRequestError(
            "evalscript is a simple script, which has one output. The Statistical API needs setup() and the output "
            "dataMask, too."
        )
    else:
        return
    for function in ("setup", "evaluatePixel"):
        if not re.search(rf"\b{function}\b", text):
            raise SentinelHubRequestError(
                f"evalscript has no function {function}(). Version 3 needs setup() and evaluatePixel()."
            )
    if for_statistics and not re.search(r"\bdataMask\b", text):
        raise SentinelHubRequestError(
            "evalscript has no output dataMask, which the Statistical API needs to know the pixels that count. Add "
            "{id: 'dataMask', bands: 1} to the outputs, and dataMask: [sample.dataMask] to what evaluatePixel returns."
        )
