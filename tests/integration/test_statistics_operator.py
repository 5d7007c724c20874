"""The statistics operator against the sandbox, whose pixels are counted again here; and killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import pyarrow.dataset
import pytest
import rasterio
import shapely
from airflow.sdk.exceptions import AirflowFailException
from loopback import Received, Reply, loopback_server
from s3_server import BUCKET, S3Server

from sentinelhub_provider.exceptions import SentinelHubResponseError
from sentinelhub_provider.operators.feature_statistics.feature_requests import FeatureRequests
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator
from sentinelhub_provider.tables import changes

ROOT = Path(__file__).parents[2]

# rasterio silences this by a filter of the whole process, which the threads of the sandbox take from each other.

EVALSCRIPT = """//VERSION=3
function setup() {
  return {
    input: ["B04", "B08", "SCL", "dataMask"],
    output: [{ id: "default", bands: 2, sampleType: "FLOAT32" }, { id: "dataMask", bands: 1 }]
  };
}
function evaluatePixel(s) {
  return { default: [index(s.B08, s.B04), s.B08], dataMask: [s.dataMask * ([4, 5, 6].includes(s.SCL) ? 1 : 0)] };
}
"""
AS_PICTURE = """//VERSION=3
function setup() {
  return { input: ["B04", "B08", "SCL", "dataMask"], output: { bands: 3, sampleType: "FLOAT32" } };
}
function evaluatePixel(s) {
  return [index(s.B08, s.B04), s.B08, s.dataMask * ([4, 5, 6].includes(s.SCL) ? 1 : 0)];
}
"""
FIELDS = {
    "triangle": [[20.5003, 47.5007], [20.5391, 47.5053], [20.5147, 47.5297], [20.5003, 47.5007]],
    "kite": [[20.5613, 47.5001], [20.5907, 47.5213], [20.5619, 47.5451], [20.5503, 47.5207], [20.5613, 47.5001]],
}
DAYS = [f"2025-06-{day:02}" for day in range(1, 31)]
SIDE = 60


class TaskInstance:
    """What the operator needs of one."""

    dag_id, run_id, map_index = "dag", "run", -1

    def xcom_push(self, key: str, value: Any) -> None:
        """Take what is pushed."""


def execute(**arguments: Any) -> dict[str, Any]:
    """Run the operator."""
    operator = SentinelHubStatisticsOperator(task_id="t", **arguments)
    context: Any = {"ti": TaskInstance()}
    return operator.execute(context)


def of_day(day: str, **arguments: Any) -> dict[str, Any]:
    """Run the operator for all fields and a day."""
    given = {"features": features(), "collection": "sentinel-2-l2a", "evalscript": EVALSCRIPT}
    return execute(**given, time_range=[day, day], width=SIDE, height=SIDE, **arguments)


def features() -> dict[str, Any]:
    """Return the fields as GeoJSON."""
    return {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "id": name, "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
            for name, ring in FIELDS.items()
        ],
    }


def picture(hook: Any, folder: Path, name: str, day: str) -> tuple[np.ndarray, np.ndarray]:
    """Render a field's box on a day; return its bands, and which pixels the field touches."""
    polygon = shapely.Polygon(FIELDS[name])
    stored = hook.download(
        "POST",
        "/process/v1",
        folder / f"{name}-{day}.tiff",
        accept="image/tiff",
        json={
            "input": {
                "bounds": {"bbox": list(polygon.bounds)},
                "data": [
                    {
                        "type": "sentinel-2-l2a",
                        "dataFilter": {"timeRange": {"from": f"{day}T00:00:00Z", "to": f"{day}T23:59:59Z"}},
                    }
                ],
            },
            "output": {
                "width": SIDE,
                "height": SIDE,
                "responses": [{"identifier": "default", "format": {"type": "image/tiff"}}],
            },
            "evalscript": AS_PICTURE,
        },
    )
    with rasterio.open(stored.path) as tiff:
        bands = tiff.read().astype("f8")
    west, south, east, north = polygon.bounds
    columns, rows = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    width, height = (east - west) / SIDE, (north - south) / SIDE
    x, y = west + columns * width, north - rows * height
    pixels = shapely.box(x, y - height, x + width, y)
    return bands, shapely.area(shapely.intersection(polygon, pixels)) > 0


def test_statistics_are_those_of_the_pixels(connect, tmp_path: Path):
    """Counted by NumPy from the GeoTIFFs of the same days: clear, clouded and without scene."""
    hook = connect()
    result = execute(
        features=features(),
        collection="sentinel-2-l2a",
        evalscript=EVALSCRIPT,
        time_range=[DAYS[0], DAYS[-1]],
        width=SIDE,
        height=SIDE,
    )

    seen = Counter(row["state"] for row in result["table"])
    assert seen["ok"] >= 4
    assert seen["empty"] >= 10
    pictures = {}
    for row in result["table"]:
        which = row["feature_id"], row["interval_from"][:10]
        if which not in pictures:
            pictures[which] = picture(hook, tmp_path, *which)
        bands, inside = pictures[which]
        counts = inside & (bands[2] == 1)
        if row["state"] == "empty":
            assert not bands.any()
            continue
        values = bands[int(row["band"][1:])][counts]
        assert (row["sample_count"], row["count"]) == (SIDE * SIDE, counts.sum())
        if row["state"] == "masked":
            assert values.size == 0
            continue
        found = [row[name] for name in ("min", "max", "mean", "stdev")]
        assert found == pytest.approx([values.min(), values.max(), values.mean(), values.std()], abs=1e-6)


def test_percentiles_and_histograms_are_those_of_the_pixels(connect, tmp_path: Path):
    """The percentile is the sample above, and every pixel is in one bin."""
    hook = connect()
    day = clear_day(hook, tmp_path)
    result = of_day(
        day,
        percentiles=[5, 50],
        histogram=[-1, 0, 0.25, 0.5, 1],
    )

    row = next(row for row in result["table"] if row["feature_id"] == "kite" and row["band"] == "B0")
    bands, inside = picture(hook, tmp_path, "kite", day)
    values = bands[0][inside & (bands[2] == 1)]
    assert [row["p5"], row["p50"]] == pytest.approx(np.percentile(values, [5, 50], method="higher"), abs=1e-6)
    expected, _ = np.histogram(values, [-1, 0, 0.25, 0.5, 1])
    assert [entry["count"] for entry in row["histogram"]] == expected.tolist()


def clear_day(hook: Any, folder: Path) -> str:
    """Return a day on which much of the kite is seen."""
    for day in DAYS:
        bands, inside = picture(hook, folder, "kite", day)
        if (inside & (bands[2] == 1)).sum() > 200:
            return day
    raise AssertionError("no clear day")


def test_a_planned_error_is_asked_for_again(connect, sentinelhub_sandbox, tmp_path: Path):
    """One that comes once is gone in the table."""
    hook = connect()
    day = clear_day(hook, tmp_path)
    answer = hook.get_conn().post(
        "/sandbox/control/interval-errors", json={"interval": day, "type": "TIMEOUT", "times": 1}
    )
    assert answer.status_code == 201

    result = of_day(
        day,
        concurrency=1,
    )

    assert result["missing_intervals"] == 0
    assert {row["state"] for row in result["table"]} <= {"ok", "masked"}


def test_the_sandbox_charges_what_was_estimated(connect):
    """Where every interval has scenes."""
    connect()
    result = execute(
        features=features(),
        collection="sentinel-2-l2a",
        evalscript=EVALSCRIPT,
        time_range=[DAYS[0], DAYS[-1]],
        aggregation_interval="P10D",
        width=300,
        height=200,
    )

    assert result["processing_units"] == pytest.approx(result["estimated_processing_units"])


ONE_WEEK: dict[str, Any] = {
    "collection": "sentinel-2-l2a",
    "evalscript": "ndvi",
    "width": 20,
    "height": 20,
    "concurrency": 4,
    "time_range": ["2025-06-01", "2025-06-07"],
    "aggregation_interval": "P7D",
}
CHILD = """
import sys
sys.path.insert(0, {folder!r})
from test_statistics_operator import ONE_WEEK, execute
execute(features={features!r}, output_path={output!r}, **ONE_WEEK)
"""


def test_a_killed_task_goes_on_without_asking_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Killed after 100 of 300 answers, it asks about the others in its next try, and the table is whole."""
    stats = {"min": 0.1, "max": 0.9, "mean": 0.5, "stDev": 0.2, "sampleCount": 400, "noDataCount": 0}
    entry = {
        "interval": {"from": "2025-06-01T00:00:00Z", "to": "2025-06-08T00:00:00Z"},
        "outputs": {"default": {"bands": {"B0": {"stats": stats}}}},
    }
    document = json.dumps({"data": [entry], "status": "OK"}).encode()
    asked: list[float] = []
    lock, enough, killed = threading.Lock(), threading.Event(), threading.Event()

    def answer(request: Received) -> Reply:
        if "token" in request.path:
            return Reply(body=b'{"access_token": "a-token", "expires_in": 3600}')
        ring = json.loads(request.body)["input"]["bounds"]["geometry"]["coordinates"][0]
        with lock:
            asked.append(ring[0][0])
            if len(asked) == 100:
                enough.set()
        if len(asked) > 100:
            killed.wait(60)
        return Reply(headers={"x-processingunits-spent": "0.01"}, body=document)

    fields = tmp_path / "fields.geojson"
    corners = [20 + number / 1000 for number in range(300)]
    rings = [[[x, 47], [x + 0.0005, 47], [x + 0.0005, 47.0005], [x, 47.0005], [x, 47]] for x in corners]
    shapes = [{"type": "Polygon", "coordinates": [ring]} for ring in rings]
    fields.write_text(
        json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": s} for s in shapes]})
    )
    output = tmp_path / "table.csv"
    script = CHILD.format(folder=str(Path(__file__).parent), features=str(fields), output=str(output))
    with loopback_server(answer) as server:
        extra = {"deployment": "custom", "auth_url": f"{server.url}/token", "auth_cache": "memory"}
        connection = {"conn_type": "sentinelhub", "login": "me", "password": "mine", "host": server.url, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SENTINELHUB_DEFAULT", json.dumps(connection))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])}
        child = subprocess.Popen(
            [sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert enough.wait(60)
        child.send_signal(signal.SIGKILL)
        child.wait()
        killed.set()
        assert not output.exists()
        first = list(asked)
        execute(features=str(fields), output_path=str(output), **ONE_WEEK)

    twice = Counter(asked)
    assert sorted(twice) == corners
    assert len(first) <= 104
    # What was under way when it was killed may be asked again: no more than there were requests at a time.
    assert sum(twice.values()) - 300 <= 4
    assert len(output.read_text().splitlines()) == 301
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith((".part", ".lock"))] == []


def test_failed_calls_before_a_wait_count(connect):
    """They left no answer, and did cost."""
    connect()
    area = {"bbox": [14.0, 46.0, 14.01, 46.01], "width": 9, "height": 9, "aggregation_interval": "P20D"}
    given = {"collection": "sentinel-2-l2a", "evalscript": "ndvi", "time_range": ["2024-06-01", "2024-06-20"]}
    context: Any = {"ti": TaskInstance()}
    alone = SentinelHubStatisticsOperator(task_id="t", **given, **area).execute(context)
    waited = SentinelHubStatisticsOperator(task_id="t", **given, **area).resume(context, spent=5.0)

    assert waited["processing_units"] == pytest.approx(5 + alone["processing_units"])


@pytest.mark.parametrize(("repeat_silent", "times"), [("false", "once"), (True, "twice")])
def test_silence_is_repeated_as_the_task_says(connect, sentinelhub_sandbox, repeat_silent: Any, times: str):
    """Once at most; what is said of the feature names what each request may have cost."""
    connect()
    silence = {"kind": "silence", "seconds": 30}
    sentinelhub_sandbox.control.add_fault(path="/statistics/v1", action=silence, times=None)
    said = rf"sent {times}, .* may have charged .* By estimate, a request costs 0\.\d+ PU"

    with pytest.raises(SentinelHubResponseError, match=said):
        execute(
            collection="sentinel-2-l2a",
            evalscript="ndvi",
            time_range=["2024-06-01", "2024-06-20"],
            aggregation_interval="P20D",
            bbox=[14.0, 46.0, 14.01, 46.01],
            width=9,
            height=9,
            timeout=0.3,
            repeat_silent=repeat_silent,
        )


def test_tables_are_merged_into_a_dataset(connect, tmp_path: Path, sentinelhub_sandbox):
    """A day again changes nothing; what does not fit is refused before anything is sent."""
    connect()
    root = tmp_path / "ndvi"
    first = of_day(DAYS[9], output_path=root, partition_by="interval_month", percentiles=[50])
    before = {file: file.read_bytes() for file in root.rglob("*.parquet")}
    again = of_day(DAYS[9], output_path=root, partition_by='["interval_month"]', percentiles=[50])
    assert first["partitions"] == again["partitions"] == ["interval_month=2025-06"]
    assert (first["path"], again["rows"]) == (str(root), first["rows"])
    assert {file: file.read_bytes() for file in root.rglob("*.parquet")} == before
    assert len(pyarrow.dataset.dataset(root, partitioning="hive").to_table()) == first["rows"]
    assert {row["mean_before"] for row in changes(root, compare_with="P1D").to_pylist()} == {None}

    sent = sentinelhub_sandbox.control.counters().total_requests
    with pytest.raises(AirflowFailException, match=r"p50 is missing"):
        of_day(DAYS[9], output_path=root, partition_by="interval_month")
    with pytest.raises(AirflowFailException, match="partition_by: give one or more of"):
        of_day(DAYS[9], output_path=root, partition_by="month")
    with pytest.raises(AirflowFailException, match="output_path has to be the folder of a dataset"):
        of_day(DAYS[9], partition_by="interval_month")
    with pytest.raises(AirflowFailException, match="output_path has to be the folder of a dataset"):
        of_day(DAYS[9], output_path=" ", partition_by="interval_month")
    assert sentinelhub_sandbox.control.counters().total_requests == sent
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ndvi"]


@pytest.mark.parametrize(("output_format", "is_warned"), [(None, True), ("delta", False)], ids=["parquet", "delta"])
def test_a_cache_without_locks_is_a_matter_of_parquet_in_s3(
    connect, s3_for_all: S3Server, monkeypatch, caplog, output_format: str | None, is_warned: bool
):
    """Commits of Delta Lake need none."""
    connect()
    monkeypatch.setenv("AIRFLOW_CONN_BUCKET", s3_for_all.connection())
    s3_for_all.empty()
    result = of_day(
        DAYS[9], output_path=f"s3://bucket@{BUCKET}/n", output_format=output_format, partition_by="interval_month"
    )
    assert result["partitions"] == ["interval_month=2025-06"]
    assert ("Let one task at a time merge" in caplog.text) == is_warned
    assert "n/_delta_log/00000000000000000001.json" in s3_for_all.keys() or output_format is None  # noqa: SIM118
    s3_for_all.empty()


def test_tables_are_merged_into_a_table_of_delta_lake(connect, tmp_path: Path, sentinelhub_sandbox):
    """The same: a day again makes no version; what does not fit is refused before anything is sent."""
    connect()
    root = tmp_path / "ndvi"
    where = {"output_path": root, "output_format": "delta", "partition_by": "interval_month"}
    first = of_day(DAYS[9], percentiles=[50], **where)
    version = deltalake.DeltaTable(root).version()
    again = of_day(DAYS[9], percentiles=[50], **where)
    table = deltalake.DeltaTable(root)
    assert first["partitions"] == again["partitions"] == ["interval_month=2025-06"]
    assert (table.version(), len(table.to_pyarrow_table())) == (version, first["rows"])
    assert {row["mean_before"] for row in changes(root, compare_with="P1D").to_pylist()} == {None}

    sent = sentinelhub_sandbox.control.counters().total_requests
    with pytest.raises(AirflowFailException, match="p50 is missing"):
        of_day(DAYS[9], **where)
    with pytest.raises(AirflowFailException, match="is partitioned by interval_month, not by interval_year"):
        of_day(DAYS[9], **where | {"partition_by": "interval_year"})
    with pytest.raises(AirflowFailException, match="partition_by has to say how the table is partitioned"):
        of_day(DAYS[9], **where | {"partition_by": None})
    with pytest.raises(AirflowFailException, match=r"output_format is 'csv'\. Give one of parquet, delta"):
        of_day(DAYS[9], **where | {"output_format": "csv"})
    assert sentinelhub_sandbox.control.counters().total_requests == sent
    assert table.version() == version


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.5, 2], [3, 4], [1.5, 2.0, 3.0, 4.0]),
        ([1, 2], [None, None], [1, 2, None, None]),
        ([True, None], [None, None], [True, None, None, None]),
        (["wheat", "2"], [3, True], ["wheat", "2", "3", "true"]),
        (["wheat", None], [1.5, None], ["wheat", None, "1.5", None]),
        ([1, 2], [1.5, 2], "crop is double, there int64"),
        ([None, None], [1, 2], [None, None, "1", "2"]),
        ([True, False], [1, 0], "crop is int64, there bool"),
    ],
)
def test_a_days_properties_fit_in_with_those_of_a_dataset(
    connect, tmp_path: Path, sentinelhub_sandbox, first: list[Any], second: list[Any], expected: Any
):
    """Where its column holds them as well; else they are refused before anything is sent."""
    connect()

    def merge(day: str, values: list[Any]) -> None:
        fields = features()
        fields["features"] = fields["features"][: len(values)]
        for number, value in enumerate(values):
            fields["features"][number] |= {"id": number, "properties": {"crop": value}}
        execute(
            features=fields,
            properties="crop",
            collection="sentinel-2-l2a",
            evalscript="ndvi",
            time_range=[day, day],
            width=SIDE,
            height=SIDE,
            output_path=tmp_path,
            partition_by="interval_day",
        )

    merge(DAYS[9], first)
    if isinstance(expected, str):
        sent = sentinelhub_sandbox.control.counters().total_requests
        with pytest.raises(AirflowFailException, match=expected):
            merge(DAYS[10], second)
        assert sentinelhub_sandbox.control.counters().total_requests == sent
        return
    merge(DAYS[10], second)
    table = pyarrow.dataset.dataset(tmp_path, format="parquet").to_table().to_pylist()
    found = {(row["interval_from"], row["feature_id"]): row["crop"] for row in table}
    assert [found[key] for key in sorted(found)] == expected


def test_tasks_of_one_dataset_at_once_have_their_answers_for_themselves(
    connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As mapped tasks, each with fields of its own: neither waits for the other, nor takes its answers away."""
    connect()
    root, whole = tmp_path / "ndvi", features()["features"]
    given = {"collection": "sentinel-2-l2a", "evalscript": EVALSCRIPT, "time_range": [DAYS[9], DAYS[9]]}

    def mapped(number: int) -> dict[str, Any]:
        ti = TaskInstance()
        ti.map_index = number
        operator = SentinelHubStatisticsOperator(
            task_id="t",
            features=whole[number],
            width=SIDE,
            height=SIDE,
            output_path=root,
            partition_by="interval_month",
            **given,
        )
        context: Any = {"ti": ti}
        return operator.execute(context)

    run, results = FeatureRequests.run, []

    def run_beside_another(self: FeatureRequests, pending: Any) -> None:
        monkeypatch.setattr(FeatureRequests, "run", run)
        results.append(mapped(1))
        run(self, pending)

    monkeypatch.setattr(FeatureRequests, "run", run_beside_another)
    results.append(mapped(0))
    rows = pyarrow.dataset.dataset(root, format="parquet").to_table()
    assert len(rows) == sum(result["rows"] for result in results)
    assert set(rows["feature_id"].to_pylist()) == {one["id"] for one in whole[:2]}
    assert [path.name for path in tmp_path.iterdir()] == ["ndvi"]
