"""
What an evalscript's ``setup()`` declares, read from its text without running it.

Cost and checks need the bands, the kind of samples and the mosaicking. Nearly every script returns one object literal
from ``setup()``; that literal is read here. One that computes what it returns is not understood, and ``None``.
"""

from __future__ import annotations

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
_TOKEN = re.compile(rf"\s*({_STRING.pattern}|-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[A-Za-z_$][\w$.]*|[{{}}\[\],:])")
_WORDS = {"true": True, "false": False, "null": None, "undefined": None}

DATA_MASK = "dataMask"


@dataclass(frozen=True, slots=True)
class Output:
    """One output. ``bands``: how many; ``sample_type``: ``AUTO`` where the script does not say."""

    id: str
    bands: int
    sample_type: str


@dataclass(frozen=True, slots=True)
class Setup:
    """
    What a script declares.

    :param inputs: the bands of each dataset, in the order of the request's ``input.data``.
    :param outputs: its outputs.
    :param mosaickings: of each dataset: ``SIMPLE``, ``ORBIT`` or ``TILE``.
    """

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


def parse_setup(evalscript: str) -> Setup | None:
    """Read what ``setup()`` declares; ``None`` where it is not one plain literal."""
    code = _CODE.sub(lambda match: match[1] or " ", evalscript)
    start = _START.search(code)
    if start is None:
        return None
    try:
        return _setup_of(_Reader(code, start.end()).value())
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class _Reader:
    """Reads a literal of JavaScript."""

    def __init__(self, code: str, position: int) -> None:
        self._code, self._position = code, position

    def value(self) -> Any:
        word = self._take()
        if word == "{":
            return self._object()
        if word == "[":
            return self._array()
        if word[0] in "\"'`":
            return word[1:-1]
        if word[0].isdigit() or word[0] in "-.":
            return float(word)
        if word in _WORDS:
            return _WORDS[word]
        if re.fullmatch(r"(SampleType|Mosaicking)\.\w+", word):
            return word.partition(".")[2]
        raise ValueError(word)

    def _take(self) -> str:
        match = _TOKEN.match(self._code, self._position)
        if match is None:
            raise ValueError(self._code[self._position : self._position + 20])
        self._position = match.end()
        return match[1]

    def _next_is(self, wanted: str) -> bool:
        match = _TOKEN.match(self._code, self._position)
        if match is not None and match[1] == wanted:
            self._position = match.end()
            return True
        return False

    def _object(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not self._next_is("}"):
            key = self._take().strip("\"'")
            if not self._next_is(":"):
                raise ValueError(key)
            members[key] = self.value()
            if not self._next_is(","):
                if not self._next_is("}"):
                    raise ValueError(key)
                break
        return members

    def _array(self) -> list[Any]:
        items: list[Any] = []
        while not self._next_is("]"):
            items.append(self.value())
            if not self._next_is(","):
                if not self._next_is("]"):
                    raise ValueError("]")
                break
        return items


def _setup_of(declared: Mapping[str, Any]) -> Setup:
    inputs = declared["input"]
    if isinstance(inputs, Mapping):
        inputs = [inputs]
    if all(isinstance(item, str) for item in inputs):
        inputs = [{"bands": inputs}]
    outputs = declared["output"]
    if isinstance(outputs, Mapping):
        outputs = [outputs]
    everywhere = declared.get("mosaicking") or "SIMPLE"
    return Setup(
        inputs=tuple(tuple(dict.fromkeys(str(band) for band in item["bands"])) for item in inputs),
        outputs=tuple(_output_of(output) for output in outputs),
        mosaickings=tuple(str(item.get("mosaicking") or everywhere) for item in inputs),
    )


def _output_of(output: Mapping[str, Any]) -> Output:
    bands = output["bands"]
    count = len(bands) if isinstance(bands, list) else int(bands)
    return Output(str(output.get("id") or "default"), count, str(output.get("sampleType") or "AUTO"))
