"""Runs an evalscript in V8, in its own isolate without access to files, network and the host's clock.

Pixels pass through ArrayBuffers that V8 and numpy share. The loop over pixels runs entirely inside V8.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from py_mini_racer import (
    DEFAULT_V8_FLAGS,
    JSEvalException,
    JSOOMException,
    JSTimeoutException,
    MiniRacer,
    init_mini_racer,
)

from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.evalscripts.contract import (
    PROCESS_RULES,
    DataSource,
    Input,
    Output,
    Rules,
    Setup,
    band_count,
    parse_setup,
)
from sentinelhub_provider.sandbox.world.evalscripts.errors import SCRIPT_NAME, ScriptTimeoutError, from_v8, script_error
from sentinelhub_provider.sandbox.world.evalscripts.simple import check_version, simple_bands, wrap_simple

# V8 guards its tables with memory protection keys on processors that have them. A thread inherits the right to read
# them from the thread that starts it. In a thread older than V8, access to them ends the process (segmentation fault).
init_mini_racer(flags=(*DEFAULT_V8_FLAGS, "--no-memory-protection-keys"), ignore_duplicate_init=True)

_CREATING: Final = threading.Lock()
"""V8 sometimes ends the process if two threads create its first context at the same time."""

_SETTLE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Limits:
    """The limits of an evalscript, ``seconds`` of running time in total and ``memory`` bytes of V8's heap."""

    seconds: float = 60.0
    memory: int = 512 * 1024 * 1024


@dataclass(frozen=True)
class SceneList:
    """The scenes of one input. ``field`` is ``orbits`` or ``tiles``, or ``None`` without entries for SIMPLE."""

    field: str | None
    entries: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Offer:
    """Scenes of one input that ``preProcessScenes()`` may choose from.

    ``key`` is the input's. See :class:`.contract.Input`. ``field`` is ``orbits`` or ``tiles``, by mosaicking. ``None``
    offers nothing. ``start`` and ``end`` are RFC 3339 times.
    """

    key: str | None
    field: str | None
    entries: Sequence[Mapping[str, Any]]
    start: str
    end: str


class Evalscript:
    """A loaded evalscript. As a context manager it frees V8's memory at the end.

    Its methods block. Use it in a worker thread, not in a thread that runs an event loop.

    If the evalscript fails, a method raises :class:`~..errors.ApiError` 400 ``RENDERER_EXCEPTION``. Its message has the
    JavaScript message and the line in the evalscript.
    """

    def __init__(
        self, source: str, *, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Load ``source``. ``clock`` returns monotonic seconds. It measures the evalscript's running time."""
        self._simple = check_version(source)
        self._source = source
        self._limits = limits or Limits()
        self._clock = clock
        self._spent = 0.0
        self._simple_loaded = False
        self._outputs: tuple[Output, ...] = ()
        self._shapes: tuple[tuple[int, ...], int] | None = None
        self._band_counts: tuple[int, ...] = ()
        self._inputs: list[list[list[NDArray[np.float32]]]] = []
        self._results: list[NDArray[np.float64]] = []
        with _CREATING:
            self._v8 = MiniRacer()
        try:
            self._v8.set_hard_memory_limit(self._limits.memory)
            self._eval(_host_scripts())
            if not self._simple:
                self._eval(f"{source}\n//# sourceURL={SCRIPT_NAME}", discard=True)
                missing = json.loads(self._call("missing"))
                if missing:
                    raise script_error(f"Function {missing[0]}() is missing in the evalscript.")
        except BaseException:
            self._v8.close()
            raise

    def __enter__(self) -> Self:
        """Return the evalscript itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Free V8's memory."""
        self.close()

    def close(self) -> None:
        """Free V8's memory. After that, the evalscript cannot be used."""
        self._inputs, self._results = [], []
        self._v8.close()

    def setup(self, sources: Sequence[DataSource], rules: Rules = PROCESS_RULES) -> Setup:
        """Call ``setup()`` and check what it declares against the request's datasets."""
        declared = self._load_simple(sources) if self._simple else json.loads(self._call("describe"))
        return parse_setup(declared, sources, rules)

    def _load_simple(self, sources: Sequence[DataSource]) -> dict[str, Any]:
        """Turn a simple script into the functions of a full one. Return what ``setup()`` of that would return."""
        bands = simple_bands(self._source, sources)
        if not self._simple_loaded:
            self._eval(f"{wrap_simple(self._source, bands)}\n//# sourceURL={SCRIPT_NAME}", discard=True)
            self._simple_loaded = True
        count = json.loads(self._call("probe", str(len(bands))))
        return {"input": bands, "output": {"bands": count}}

    def choose_scenes(self, offers: Sequence[Offer]) -> list[list[int]]:
        """Call ``preProcessScenes()``. Return the indexes of the entries that it keeps of each offer, in its order."""
        request = [
            {"key": offer.key, "field": offer.field, "entries": offer.entries, "from": offer.start, "to": offer.end}
            for offer in offers
        ]
        chosen: list[list[int]] = json.loads(self._call("chooseScenes", json.dumps(request)))
        return [
            [number for number in numbers if 0 <= number < len(offer.entries)]
            for numbers, offer in zip(chosen, offers, strict=True)
        ]

    def begin(self, setup: Setup, scenes: Sequence[SceneList]) -> tuple[Output, ...]:
        """Hand over the scenes of each input, one for each of its samples.

        Returns the outputs with the bands that ``updateOutput()`` gave them.
        """
        request = {
            "inputs": [
                {**_describe(each), "field": found.field, "entries": found.entries}
                for each, found in zip(setup.inputs, scenes, strict=True)
            ],
            "outputs": [{"id": output.id, "bands": output.bands} for output in setup.outputs],
        }
        counts = json.loads(self._call("begin", json.dumps(request)))
        self._band_counts = tuple(len(each.bands) for each in setup.inputs)
        self._outputs = tuple(
            output if count == output.bands else replace(output, bands=band_count(output.id, count), band_names=None)
            for output, count in zip(setup.outputs, counts, strict=True)
        )
        return self._outputs

    def evaluate(
        self, inputs: Sequence[Sequence[Sequence[NDArray[np.float32]]]], size: int
    ) -> dict[str, NDArray[np.float64]]:
        """Evaluate ``size`` pixels. ``inputs[input][sample][band]`` are flat arrays, in the order of the setup.

        Returns for each output an array of shape ``(pixels, bands)`` with the unrounded values that ``evaluatePixel()``
        returned. Pixels for which it returned nothing are 0.
        """
        counts = tuple(len(samples) for samples in inputs)
        self._allocate(counts, size)
        for samples, held in zip(inputs, self._inputs, strict=True):
            for sample, buffers in zip(samples, held, strict=True):
                for band, buffer in zip(sample, buffers, strict=True):
                    buffer[:] = band.ravel()
        for result in self._results:
            result[:] = 0.0
        self._eval(f"__host.run({size}, {json.dumps(counts)}); 0")
        return {
            output.id: result.reshape(size, output.bands).copy()
            for output, result in zip(self._outputs, self._results, strict=True)
        }

    def user_data(self) -> Any:
        """Call ``updateOutputMetadata()`` if it exists. Return ``outputMetadata.userData``, or ``None`` if unset."""
        return json.loads(self._call("finish"))

    def _allocate(self, counts: tuple[int, ...], size: int) -> None:
        if (counts, size) == self._shapes:
            return
        self._inputs = [
            [
                [np.frombuffer(self._buffer(f"inputBuffer({i}, {s}, {b}, {size})"), np.float32) for b in range(bands)]
                for s in range(samples)
            ]
            for i, (samples, bands) in enumerate(zip(counts, self._band_counts, strict=True))
        ]
        self._results = [
            np.frombuffer(self._buffer(f"outputBuffer({number}, {size})"), np.float64)
            for number in range(len(self._outputs))
        ]
        self._shapes = (counts, size)

    def _buffer(self, call: str) -> Any:
        return self._eval(f"__host.{call}")

    def _call(self, function: str, argument: str | None = None) -> str:
        # JSON is valid JavaScript, so that a JSON text in a JSON string is a safe literal.
        return str(self._eval(f"__host.{function}({'' if argument is None else json.dumps(argument)})"))

    def _eval(self, code: str, *, discard: bool = False) -> Any:
        left = self._limits.seconds - self._spent
        if left <= 0:
            raise self._too_slow()
        started = self._clock()
        try:
            result = self._v8.eval(code, timeout_sec=left)
        except JSTimeoutException as error:
            self._settle()
            raise self._too_slow() from error
        except JSOOMException as error:
            raise script_error(
                f"The evalscript used more than {self._limits.memory // 2**20} MiB of memory; keep less between pixels."
            ) from error
        except JSEvalException as error:
            raise from_v8(str(error)) from error
        finally:
            self._spent += self._clock() - started
        return None if discard else result

    def _settle(self) -> None:
        """Wait until V8 has stopped. If it is closed earlier, it reports to an event loop that no longer exists."""
        with suppress(JSEvalException):
            self._v8.eval("0", timeout_sec=_SETTLE_SECONDS)

    def _too_slow(self) -> ApiError:
        return ScriptTimeoutError(
            f"The evalscript ran longer than {self._limits.seconds:g} s; is there a loop without an end?"
        )


def _describe(each: Input) -> dict[str, Any]:
    return {"key": each.key, "simple": each.mosaicking == "SIMPLE", "bands": [band.name for band in each.bands]}


@cache
def _host_scripts() -> str:
    """Return the scripts that run before the evalscript, as one. Each call of V8 passes through three threads."""
    folder = resources.files(__package__)
    return "\n".join(
        [*(folder.joinpath(name).read_text(encoding="utf-8") for name in ("prelude.js", "driver.js")), "0"]
    )
