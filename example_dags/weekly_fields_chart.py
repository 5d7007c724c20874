"""A chart of fields' weeks, with a panel for each field and gaps for clouded weeks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import ObjectStoragePath
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, MonthLocator, date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

COLUMNS = 3
MOST_FIELDS = 30
"""Most panels of a chart. The table has all fields."""

CLEAR_ENOUGH = 0.5
"""Clear share of a field that a week needs to count, because the rim of a cloud looks too dark."""

INK, MUTED, GRID, CLOUD, LEAF, SPREAD = "#1d2521", "#66706a", "#dfe4e1", "#e4e6ea", "#14673a", "#a9cf8a"

REAL = "Contains modified Copernicus Sentinel data {year}, processed with Sentinel Hub"
SYNTHETIC = "Synthetic scenes of the Sentinel Hub sandbox: not observations"


@dataclass(frozen=True)
class Week:
    """One field's week.

    :param start: its first day.
    :param clear: share of the field that was seen without cloud, 0 to 1.
    :param low: NDVI that a tenth of the pixels is below; NaN where nothing was seen, as the two that follow.
    :param median: NDVI that half of the pixels is below.
    :param high: NDVI that a tenth of the pixels is above.
    """

    start: datetime
    clear: float = 0.0
    low: float = math.nan
    median: float = math.nan
    high: float = math.nan

    @property
    def end(self) -> datetime:
        """Where the next week starts."""
        return self.start + timedelta(days=7)

    @property
    def counts(self) -> bool:
        """Tell whether enough was seen to say how the field was."""
        return self.clear >= CLEAR_ENOUGH


def weeks_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Week]]:
    """Return the weeks of each field from the table's rows, which have the percentiles 10, 50 and 90."""
    fields: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        fields.setdefault(str(row["feature_id"]), []).append(row)
    return {field: _weeks(of_field) for field, of_field in fields.items()}


def _weeks(rows: Sequence[Mapping[str, Any]]) -> list[Week]:
    whole = max(row["count"] or 0 for row in rows)
    return [
        Week(row["interval_from"], row["count"] / whole, row["p10"], row["p50"], row["p90"])
        if row["state"] == "ok"
        else Week(row["interval_from"])
        for row in rows
    ]


def draw_chart(path: str, rows: Iterable[Mapping[str, Any]], *, is_sandbox: bool) -> None:
    """Draw the chart and write it as PNG.

    :param path: where to, local or in object storage.
    :param rows: the table of statistics, with one row at least.
    :param is_sandbox: whether the scenes are made up, which the chart then says.
    """
    fields = weeks_of(rows)
    shown = dict(list(fields.items())[:MOST_FIELDS])
    columns = min(COLUMNS, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(max(2, columns) * 4.2, lines * 2.4 + 2.0), dpi=130, facecolor="white")
    figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.08, rect=(0.005, 0.005, 0.985, 0.99))
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for number, panel in enumerate(panels.flat):
        if number >= len(shown):
            panel.remove()
            continue
        field, weeks = list(shown.items())[number]
        _draw_field(panel, field, weeks)
        # The dates stand below the last panel of each column.
        panel.tick_params(labelbottom=number + columns >= len(shown))
    for panel in panels[:, 0]:
        panel.set_ylabel("NDVI", color=MUTED)
    _write_title(figure, fields, len(shown), is_sandbox=is_sandbox)
    figure.legend(handles=_legend(), loc="outside lower left", ncols=2, frameon=False, labelcolor=MUTED, fontsize=9.5)
    with ObjectStoragePath(path).open("wb") as file:
        figure.savefig(file, format="png")


def _draw_field(panel: Axes, field: str, weeks: Sequence[Week]) -> None:
    """Draw one field: clouds as grey ground, the spread of its pixels as bars, their median as a line with dots."""
    middle = [(date2num(week.start) + date2num(week.end)) / 2 for week in weeks]
    for week in weeks:
        if not week.clear:
            panel.axvspan(date2num(week.start), date2num(week.end), color=CLOUD, linewidth=0)
    clear = [week if week.counts else Week(week.start) for week in weeks]
    partial = [math.nan if week.counts else week.median for week in weeks]
    panel.vlines(middle, [week.low for week in clear], [week.high for week in clear], colors=SPREAD, linewidth=5)
    panel.plot(middle, [week.median for week in clear], color=LEAF, linewidth=1.6, marker="o", markersize=4)
    panel.plot(middle, partial, color=MUTED, linestyle="none", marker="o", markersize=4, markerfacecolor="white")

    panel.set_title(field, loc="left", color=INK, fontsize=11, fontweight="bold")
    count = sum(week.counts for week in weeks)
    panel.set_title(f"{count} of {len(weeks)} weeks clear", loc="right", color=MUTED, fontsize=9)
    panel.set_xlim(date2num(weeks[0].start), date2num(weeks[-1].end))
    panel.set_ylim(0, 1)
    panel.xaxis.set_major_locator(MonthLocator(interval=max(1, round(len(weeks) / 40))))
    panel.xaxis.set_major_formatter(DateFormatter("%b" if weeks[0].start.year == weeks[-1].start.year else "%b %y"))
    panel.grid(color=GRID, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(colors=MUTED, labelsize=9, length=0)
    panel.spines[:].set_visible(False)


def _write_title(figure: Figure, fields: Mapping[str, Sequence[Week]], shown: int, *, is_sandbox: bool) -> None:
    weeks = next(iter(fields.values()))
    first, last = weeks[0].start, weeks[-1].end - timedelta(days=1)
    few = f", the first {shown} of {len(fields):,}" if shown < len(fields) else ""
    when = f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"
    source = SYNTHETIC if is_sandbox else REAL.format(year=last.year)
    # A figure has one title only; its second, empty line keeps the place of a smaller text.
    figure.suptitle(f"NDVI of fields, week by week{few}\n", x=0.012, ha="left", color=INK, fontsize=17, linespacing=1.3)
    figure.text(0.013, 1 - 0.56 / figure.get_figheight(), f"{when}. {source}.", color=MUTED, fontsize=10.5, va="center")


def _legend() -> list[Line2D | Patch]:
    dot = {"marker": "o", "markersize": 4, "linewidth": 1.6}
    return [
        Line2D([], [], color=LEAF, label="median of the field's pixels, in the week's clearest scene", **dot),  # type: ignore[arg-type]
        Line2D([], [], color=SPREAD, linewidth=5, label="10th to 90th percentile of the pixels"),
        Line2D([], [], color=MUTED, linestyle="none", marker="o", markersize=4, markerfacecolor="white",
               label="less than half of the field was clear: not joined"),
        Patch(color=CLOUD, label="gap: clouds, or no scene"),
    ]  # fmt: skip
