"""Offers a few named evalscripts, whose texts are beside this module, and reads and checks any evalscript."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from sentinelhub_provider.api.values import without_bom
from sentinelhub_provider.exceptions import SentinelHubRequestError

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`$]*`")
_CODE = re.compile(rf"({_STRING.pattern})|{_COMMENT.pattern}", re.DOTALL)
_START = re.compile(
    r"\bsetup\s*(?:=\s*)?(?:function\s*)?\(\s*\)\s*(?:=>\s*(?:\(\s*(?=\{)|\{\s*return\s*\(?\s*(?=\{))|"
    r"\{\s*return\s*\(?\s*(?=\{))"
)
_FULL = re.compile(r"\bfunction\s+(?:setup|evaluatePixel)\b|\b(?:setup|evaluatePixel)\s*=[^=]")
_VERSION = re.compile(
    r"\ufeff?(?>\s|/\*.*?\*/|//(?!\s*VERSION\s*=)[^\n]*)*+//\s*VERSION\s*=\s*(\d+)", re.IGNORECASE | re.DOTALL
)
_TEXT = re.compile(_STRING.pattern)
_CONTROL = r"(?!(?:if|for|while|switch|catch|with)\b)"
_FUNCTION = re.compile(rf"(?:=>|\b{_CONTROL}[\w$]+\s*\((?:[^(){{}}]|\([^(){{}}]*\))*\))\s*\{{[^{{}}]*\}}")
_BLOCK = re.compile(r"\{([^{}]*)\}")
_RETURN = re.compile(r"\breturn\b\s*(\[)?")
_DECLARED = re.compile(r"\b(?:var|let|const|function)\s+([A-Za-z_$][\w$]*)")
_BAND = re.compile(
    r"(?<![\w$.])(?:B\d{1,2}A?|S[1-9]|F[12]|[VH][VH]|DEM|AOT|SCL|SNW|CLD|CLP|CLM|PAN|dataMask|localIncidenceAngle|BQA|"
    r"(?:sun|view)\w+(?:Angles|Mean)|CO|NO2|O3|SO2|CH4|HCHO|CLOUD_\w+|AER_AI_\w+)(?![\w$])"
)
_TOKEN = re.compile(rf"\s*({_STRING.pattern}|-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[A-Za-z_$][\w$.]*|[{{}}\[\],:])")
_COLON = re.compile(r"\s*:")
_WORDS = {"true": True, "false": False, "null": None, "undefined": None, "NaN": None}
_VALUE = rf"{_STRING.pattern}|-?\d+(?:\.\d*)?(?=\s*(?:[;,\n]|$))|SampleType\.\w+|Mosaicking\.\w+|NaN"
DATA_MASK = "dataMask"

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
"""The scripts of one form, with their two bands and the source of the index."""
_FIRST_DIALECT = re.compile(r"\bset(?:InputComponents|OutputComponentCount)\s*\(")
"""Functions that only scripts of version 1 call."""
_NAME = re.compile(r"\w[\w -]*")


@dataclass(frozen=True, slots=True)
class Output:
    """One output, with its number of bands. ``sample_type`` is ``AUTO`` if the script does not say."""

    id: str
    bands: int
    sample_type: str


@dataclass(frozen=True, slots=True)
class Setup:
    """A script's bands and mosaicking of each dataset, in the request's order, and its outputs."""

    inputs: tuple[tuple[str, ...], ...]
    outputs: tuple[Output, ...]
    mosaickings: tuple[str, ...]

    @property
    def bands(self) -> tuple[str, ...]:
        """All input bands, dataset by dataset."""
        return tuple(band for bands in self.inputs for band in bands)

    @property
    def is_single_sample(self) -> bool:
        """Whether each dataset has one sample per pixel, rather than one for each orbit or tile."""
        return all(mosaicking == "SIMPLE" for mosaicking in self.mosaickings)


def is_simple(evalscript: str) -> bool:
    """Tell whether a script is a simple one, which is a body without ``setup()`` that returns the pixel's values."""
    code = _TEXT.sub('""', _CODE.sub(lambda match: match[1] or " ", evalscript))
    return not _FULL.search(code) and _RETURN.search(_outermost(code)) is not None


def parse_version(evalscript: str) -> str | None:
    """Return the number of a line ``//VERSION=3`` before any code, ``None`` if there is none."""
    match = _VERSION.match(evalscript)
    return match and match[1]


def parse_setup(evalscript: str) -> Setup | None:
    """Read the declarations of ``setup()``, or a simple script's bands and values, ``None`` if they are computed."""
    code = _CODE.sub(lambda match: match[1] or " ", evalscript)
    if is_simple(evalscript):
        return _simple_setup(_TEXT.sub('""', code))
    starts = list(_START.finditer(code))
    if len(starts) != 1:  # of two, only who runs the script knows which one counts
        return None
    try:
        return _setup_of(_literal(code, starts[0].end()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _literal(code: str, position: int) -> Any:
    """Read a literal of JavaScript by writing it as JSON. Raises ``ValueError`` for what is computed."""
    parts: list[str] = []
    depth = 0
    while True:
        match = _TOKEN.match(code, position)
        if match is None:
            raise ValueError(code[position : position + 20])
        word, position = match[1], match.end()
        if word in "}]" and parts and parts[-1] == ",":
            parts.pop()
        parts.append(
            word
            if word in "{}[],:"
            else json.dumps(_plain(word, code, is_key=_COLON.match(code, position) is not None))
        )
        depth += (word in "{[") - (word in "}]")
        if depth == 0:
            return json.loads("".join(parts))


def _plain(word: str, code: str, *, is_key: bool) -> Any:
    if word[0] in "\"'`":
        return word[1:-1]
    if is_key:
        return word
    if word[0].isdigit() or word[0] in "-.":
        return float(word)
    if word in _WORDS:
        return _WORDS[word]
    if re.fullmatch(r"(SampleType|Mosaicking)\.\w+", word):
        return word.partition(".")[2]
    # A constant of the script: assigned once, where it is declared, and a plain value.
    set_at = rf"((?:\b(?:var|let|const)\s+)?)(?<![\w$.]){re.escape(word)}\s*(?:=(?!=)\s*({_VALUE})?|[-+*/]=|\+\+|--)"
    match re.findall(set_at, code):
        case [(declared, value)] if declared and value:
            return _plain(value, "", is_key=False)
    raise ValueError(word)


def _outermost(code: str) -> str:
    """Leave out what stands within functions of the script."""
    shorter = ""
    while "{" in code and shorter != code:
        shorter = _FUNCTION.sub(" ", code)
        code, shorter = (_BLOCK.sub(r" \1 ", code), code) if shorter == code else (shorter, "")
    return code


def _simple_setup(code: str) -> Setup | None:
    bands = [band for band in dict.fromkeys(_BAND.findall(code)) if band not in _DECLARED.findall(code)]
    if not bands:
        return None  # bands of a collection of somebody's own have any names
    last = list(_RETURN.finditer(_outermost(code)))[-1]
    count = 3 if last[1] is None else _items(_outermost(code)[last.end() :])
    return Setup((tuple(bands),), (Output("default", count, "AUTO"),), ("SIMPLE",))


def _items(code: str) -> int:
    """Count the values of a list whose bracket was just opened. A list spread in it counts as the three of a colour."""
    depth, commas = 0, 0
    for character in code.replace("...", ",,"):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        if depth < 0:
            break
        commas += character == "," and depth == 0
    return commas + 1


def _names(bands: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(band) for band in ([bands] if isinstance(bands, str) else bands)))


def _setup_of(declared: Mapping[str, Any]) -> Setup:
    inputs = declared["input"]
    if isinstance(inputs, Mapping | str):
        inputs = [inputs]
    if all(isinstance(item, str) for item in inputs):
        inputs = [{"bands": inputs}]
    outputs = declared["output"]
    if isinstance(outputs, Mapping):
        outputs = [outputs]
    everywhere = declared.get("mosaicking") or "SIMPLE"
    return Setup(
        inputs=tuple(_names(item["bands"]) for item in inputs),
        outputs=tuple(
            Output(
                str(output.get("id") or "default"),
                len(output["bands"]) if isinstance(output["bands"], list) else int(output["bands"]),
                str(output.get("sampleType") or "AUTO"),
            )
            for output in outputs
        ),
        mosaickings=tuple(str(item.get("mosaicking") or everywhere) for item in inputs),
    )


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
    """Refuse anything but an evalscript of version 3 or a simple script. ``for_statistics`` requires a ``dataMask``."""
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
