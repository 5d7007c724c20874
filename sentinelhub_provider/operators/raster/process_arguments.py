"""Arguments of the Process operator, put into the form that the request wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubRequestError

OUTPUT_FIELD = "{output}"
"""Stands in ``output_path`` for the identifier of each of several outputs."""


def needs_no_time(item: Any) -> bool:
    """Tell whether an entry of ``collection`` has a time range of its own, or data without a time."""
    from sentinelhub_provider.api.collections import COLLECTIONS

    if isinstance(item, Mapping):
        chosen = item.get("dataFilter")
        if isinstance(chosen, Mapping) and chosen.get("timeRange"):
            return True
        item = item.get("type")
    known = COLLECTIONS.get(str(item))
    return known is not None and known.is_timeless


def format_by_path(output_path: Any, *, tile: bool) -> str | dict[str, str] | None:
    """Return the format that a file's name stands for, of several by output; ``None`` where there is no telling."""
    from sentinelhub_provider.api.process import FORMATS, USER_DATA

    if isinstance(output_path, Mapping):
        found = {name: format_by_path(path, tile=tile) for name, path in output_path.items()}
        known = {name: kind for name, kind in found.items() if isinstance(kind, str)}
        userdata = {USER_DATA: "json"} if USER_DATA in found else {}
        return {**known, **userdata} if len(known | userdata) == len(found) > 0 else None
    suffix = str(output_path).rpartition(".")[2].lower()
    return "tiff" if tile and suffix == "vrt" else suffix if suffix in FORMATS and suffix != "json" else None


def output_paths(output_path: Any, formats: Mapping[str, str]) -> dict[str, Any]:
    """
    Return where each output goes, by its identifier.

    :param output_path: see ``SentinelHubProcessOperator``.
    :param formats: the outputs.
    :raises SentinelHubRequestError: where several outputs would go into one file, or one goes nowhere.
    """
    if isinstance(output_path, Mapping):
        if set(output_path) != set(formats):
            raise SentinelHubRequestError(
                f"output_path has paths for {', '.join(map(str, output_path)) or 'nothing'}, but the outputs are "
                f"{', '.join(formats)}. Give one path for each.",
                field="output_path",
            )
        paths = {name: output_path[name] for name in formats}
    elif OUTPUT_FIELD in str(output_path):
        paths = {name: str(output_path).replace(OUTPUT_FIELD, name) for name in formats}
    elif len(formats) == 1:
        paths = dict.fromkeys(formats, output_path)
    else:
        raise SentinelHubRequestError(
            f"there are {len(formats)} outputs ({', '.join(formats)}), but output_path is one file. Put {OUTPUT_FIELD} "
            "into it, such as '/data/{{ dag_run.run_after | ds }}-{output}.tif', or give a dict of paths by output.",
            field="output_path",
        )
    if len({str(path) for path in paths.values()}) < len(paths):
        raise SentinelHubRequestError(
            "output_path names one file for several outputs. Give each its own.", field="output_path"
        )
    return paths
