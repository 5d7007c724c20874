"""What an evalscript declares, read from its text: its version, and the literal that ``setup()`` returns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Output:
    """One output. ``bands``: how many; ``sample_type``: ``AUTO`` where the script does not say."""

    id: str
    bands: int
    sample_type: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What a script declares: the bands and the mosaicking of each dataset in the request's order, and its outputs."""

    inputs: tuple[tuple[str, ...], ...]
    outputs: tuple[Output, ...]
    mosaickings: tuple[str, ...]

    @property
    def bands(self) -> tuple[str, ...]:
        """All input bands, dataset by dataset."""
        return tuple(band for bands in self.inputs for band in bands)

    @property
    def is_single_sample(self) -> bool:
        """Whether each dataset brings one sample to a pixel; otherwise it is one for each orbit or tile."""
        return all(mosaicking == "SIMPLE" for mosaicking in self.mosaickings)


def is_simple(evalscript: str) -> bool:
    """Tell whether a script is a simple one: a body that returns the pixel's values, without ``setup()``."""
    code = _TEXT.sub('""', _CODE.sub(lambda match: match[1] or " ", evalscript))
    return not _FULL.search(code) and _RETURN.search(_outermost(code)) is not None


def parse_version(evalscript: str) -> str | None:
    """Return the number of a line ``//VERSION=3`` before any code; ``None`` where there is none."""
    match = _VERSION.match(evalscript)
    return match and match[1]


def parse_setup(evalscript: str) -> Setup | None:
    """Read what ``setup()`` declares, or a simple script's bands and values; ``None`` for what is computed."""
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
    """Count what a list holds whose bracket was opened before; a list spread in it counts as a colour, three."""
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
