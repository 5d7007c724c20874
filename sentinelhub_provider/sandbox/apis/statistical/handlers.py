"""The Statistical API's work, which computes numbers for a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.apis.process.encode import to_samples
from sentinelhub_provider.sandbox.apis.process.processing_units import STATISTICAL_MINIMUM, processing_units
from sentinelhub_provider.sandbox.apis.process.raster import Raster, arrange, data_sources, find_scenes, run
from sentinelhub_provider.sandbox.apis.statistical.bodies import Interval, StatisticalRequest, parse_request
from sentinelhub_provider.sandbox.apis.statistical.calculations import Calculations, band_names
from sentinelhub_provider.sandbox.apis.statistical.numbers import band_statistics
from sentinelhub_provider.sandbox.apis.statistical.state import ErrorType, IntervalErrors
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.evalscripts.contract import STATISTICAL_RULES, Output, Setup
from sentinelhub_provider.sandbox.world.evalscripts.engine import Evalscript, Limits
from sentinelhub_provider.sandbox.world.evalscripts.errors import ScriptTimeoutError, missing_output, script_error
from sentinelhub_provider.sandbox.world.scenes.model import DATA_MASK, SceneSource

_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class StatisticalResult:
    """An answer's body, and what it costs."""

    body: dict[str, Any]
    processing_units: float


def statistics(
    body: Mapping[str, Any],
    *,
    source: SceneSource,
    errors: IntervalErrors | None = None,
    limits: Limits | None = None,
) -> StatisticalResult:
    """Answer a Statistical request. Raises :class:`~..errors.ApiError` for faults of every interval.

    ``errors`` are injected faults of single intervals. ``limits`` are those of the evalscript in each interval.
    """
    request = parse_request(body, source)
    data: list[dict[str, Any]] = []
    samples = 0
    with _Scripts(request.evalscript, limits) as scripts:
        setup = scripts.loaded().setup(data_sources(request.datasets), STATISTICAL_RULES)
        check_outputs(setup)
        request.calculations.check([output for output in setup.outputs if output.id != DATA_MASK])
        for interval in request.intervals:
            entry, used = _entry(request, setup, interval, source, errors, scripts)
            samples += used
            if entry is not None:
                data.append(entry)
    failed = sum("error" in entry for entry in data)
    status = "OK" if not failed else "FAILED" if failed == len(data) else "PARTIAL"
    return StatisticalResult(
        {"data": data, "geometryPixelCount": _pixel_count(request), "status": status},
        cost(request, setup, samples),
    )


def cost(request: StatisticalRequest, setup: Setup, samples: int) -> float:
    """Cost in PU. ``samples`` are data samples per pixel, over all intervals with an answer.

    There is no output format, so no factor applies for one.
    """
    return processing_units(
        request.grid.width,
        request.grid.height,
        [band.name for band in setup.bands],
        samples=samples,
        collections=len(request.datasets),
        options=[dataset.options for dataset in request.datasets],
        minimum=STATISTICAL_MINIMUM,
    )


def _entry(
    request: StatisticalRequest,
    setup: Setup,
    interval: Interval,
    source: SceneSource,
    errors: IntervalErrors | None,
    scripts: _Scripts,
) -> tuple[dict[str, Any] | None, int]:
    """Return the entry of one interval, or ``None`` if there are no scenes, and its samples per pixel."""
    start, end = interval
    # The end of one interval is the start of the next: a scene belongs to one of them only.
    datasets = [dataset.within(start, end - _INSTANT) for dataset in request.datasets]
    found = find_scenes(source, datasets, setup, request.grid)
    if not any(scenes.any() for scenes in found):
        return None, 0
    entry: dict[str, Any] = {"interval": {"from": _iso(start), "to": _iso(end)}}
    planned = errors.draw(_iso(start)) if errors is not None else None
    if planned is not None:
        return entry | {"error": {"type": planned}}, 0
    try:
        script = scripts.fresh()
        plan = arrange(script, setup, datasets, found)
        outputs = script.begin(setup, plan.scenes)
        raster = run(script, setup, outputs, plan, grid=request.grid, area=request.area, datasets=datasets)
        return entry | {"outputs": _outputs(raster, request.calculations)}, max(1, raster.samples)
    except ApiError as error:
        return entry | {"error": {"type": error_type(error)}}, 0


class _Scripts:
    """Loads the evalscript anew for each interval, as the service is documented to run it. One lives at a time."""

    def __init__(self, source: str, limits: Limits | None) -> None:
        self._source, self._limits = source, limits
        self._script: Evalscript | None = None
        self._used = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def loaded(self) -> Evalscript:
        """Return one that only ``setup()`` was called of."""
        if self._script is None:
            self._script = Evalscript(self._source, limits=self._limits)
        return self._script

    def fresh(self) -> Evalscript:
        """Return one that has seen no pixels yet."""
        if self._used:
            self._close()
        self._used = True
        return self.loaded()

    def _close(self) -> None:
        script, self._script = self._script, None
        if script is not None:
            script.close()


def _outputs(raster: Raster, calculations: Calculations) -> dict[str, Any]:
    mask_output, mask = raster.outputs[DATA_MASK]
    outputs: dict[str, Any] = {}
    for identifier, (output, values) in raster.outputs.items():
        if identifier == DATA_MASK:
            continue
        valid = _valid(mask_output, mask, output)
        samples = to_samples(values, output.sample_type).astype(np.float64)
        whole = output.sample_type != "FLOAT32"
        outputs[identifier] = {
            "bands": {
                name: band_statistics(
                    samples[..., number].ravel(), valid, calculations.of(identifier), name, whole=whole
                )
                for number, name in enumerate(band_names(output))
            }
        }
    return outputs


def _valid(mask_output: Output, mask: NDArray[np.float64], output: Output) -> NDArray[np.bool_]:
    """The pixels of an output that count, by its band of ``dataMask``, or by the only band. Otherwise, all count."""
    names = mask_output.band_names
    if names is None:
        column = mask[..., 0]
    elif output.id in names:
        column = mask[..., names.index(output.id)]
    else:
        return np.ones(mask.shape[0] * mask.shape[1], np.bool_)
    valid: NDArray[np.bool_] = np.nan_to_num(column.ravel(), nan=0.0) != 0.0
    return valid


def check_outputs(setup: Setup) -> None:
    """Check that the evalscript says which pixels count. Raises :class:`~..errors.ApiError`."""
    by_id = {output.id: output for output in setup.outputs}
    mask = by_id.get(DATA_MASK)
    if mask is None:
        raise missing_output(DATA_MASK, list(by_id), " The Statistical API needs it to know which pixels count.")
    if mask.band_names is None and mask.bands > 1:
        raise script_error(
            f"Output {DATA_MASK} has {mask.bands} bands; it must have one, or name the output that each is for."
        )
    for name in mask.band_names or ():
        if name not in by_id or name == DATA_MASK:
            raise script_error(f"Output {DATA_MASK} has a band for {name}, which is not an output of the evalscript.")


def error_type(error: ApiError) -> ErrorType:
    """Name an error as an answer does."""
    if isinstance(error, ScriptTimeoutError):
        return "TIMEOUT"
    return "EXECUTION_ERROR" if error.code == "RENDERER_EXCEPTION" else "BAD_REQUEST"


def _pixel_count(request: StatisticalRequest) -> int:
    mask = request.area.mask(request.grid)
    return request.grid.width * request.grid.height if mask is None else int(mask.sum())


def _iso(when: datetime) -> str:
    text = when.astimezone(UTC).replace(tzinfo=None)
    return f"{text.isoformat(timespec='milliseconds' if text.microsecond else 'seconds')}Z"
