"""What the demos say when their DAG has run: where its files are, and a table of what is in them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Demo:
    """An example DAG that is run for a person to look at.

    :param module: the file in ``example_dags``, without its ending.
    :param dag: what the DAG is called in it.
    :param folder: where the DAG's files go, within the demo's home.
    :param report: makes a table, and lines that name files, of the DAG's run and that folder.
    """

    module: str
    dag: str
    folder: str
    report: Callable[[Any, Path], tuple[str, Mapping[str, Path]]]


def pictures(run: Any, folder: Path) -> tuple[str, Mapping[str, Path]]:
    """Report the dates, the area's cloud covers and the costs of the pictures."""
    sheet = importlib.import_module("ndvi_sheet")
    chosen = run.get_task_instance("choose")
    scenes = chosen.xcom_pull(task_ids="choose")
    stored = chosen.xcom_pull(task_ids="ndvi", map_indexes=range(len(scenes)))
    rows = [
        {
            "date": scene["date"],
            "cloud_cover": sheet.cloud_cover(sheet.open_picture(picture["path"])),
            "processing_units": picture["processing_units"],
        }
        for scene, picture in zip(scenes, stored, strict=True)
    ]
    return picture_table(rows), {"Picture": folder / "ndvi.png"}


def picture_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return ``date``, ``cloud_cover`` and ``processing_units`` of each picture as lines, with the sum of the costs."""
    lines = [f"{'Scene':<12}{'Cloud cover':>12}{'PU':>10}"]
    for picture in rows:
        units = picture["processing_units"]
        lines.append(
            f"{picture['date']:<12}{picture['cloud_cover']:>10.1f} %{'n/a' if units is None else f'{units:.3f}':>10}"
        )
    known = [picture["processing_units"] for picture in rows if picture["processing_units"] is not None]
    total = f"{sum(known):.3f}" if known else "n/a"
    return "\n".join([*lines, f"{f'{len(rows)} pictures':<24}{total:>10}"])


def fields(run: Any, folder: Path) -> tuple[str, Mapping[str, Path]]:
    """Report how often each field was seen, its greenest week, and the cost of the table."""
    import pyarrow.parquet

    result = run.get_task_instance("ndvi").xcom_pull(task_ids="ndvi")
    path = folder / "fields.parquet"
    table = field_table(pyarrow.parquet.read_table(path).to_pylist())
    cost = f"{result['rows']} rows, {result['processing_units']:.3f} PU"
    return f"{table}\n{cost}", {"Table": path, "Chart": folder / "fields.png"}


def field_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return clear weeks, highest median and its week of each field as lines; weeks count as in the DAG's chart."""
    lines = [f"{'Field':<16}{'Clear weeks':>12}{'Highest NDVI':>15}  in the week of"]
    for name, weeks in importlib.import_module("weekly_fields_chart").weeks_of(rows).items():
        clear = [week for week in weeks if week.counts]
        line = f"{name:<16}{f'{len(clear)} of {len(weeks)}':>12}"
        if clear:
            best = max(clear, key=lambda week: float(week.median))
            line += f"{best.median:>15.2f}  {best.start:%Y-%m-%d}"
        lines.append(line)
    return "\n".join(lines)


DEMOS = {
    "ndvi": Demo("example_sentinelhub_ndvi", "ndvi_dag", "pictures", pictures),
    "fields": Demo("example_sentinelhub_weekly_fields", "weekly_fields_dag", "fields", fields),
}
"""The demos by their name on the command line."""
