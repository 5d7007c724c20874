"""Each operator in runs of a real Airflow, whose times are pendulum's: with a data interval, and without any date."""

from __future__ import annotations

from typing import Any

import pytest

DAGS = '''
from datetime import timedelta

from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from sentinelhub_provider.api.jobs import async_lifecycle, lifecycle
from sentinelhub_provider.operators.async_process import SentinelHubAsyncProcessOperator
from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator
from sentinelhub_provider.operators.batch_statistics import SentinelHubBatchStatisticsOperator
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator
from sentinelhub_provider.sensors.catalog import SentinelHubSceneSensor

# The bucket cannot be read, so that an Async Process job would be taken for over only half a minute after its 404.
async_lifecycle.UNKNOWN_AT_FIRST, lifecycle.LISTING_DELAY = timedelta(0), timedelta(seconds=0.1)

DAYS = CronDataIntervalTimetable("0 0 * * *", timezone="Europe/Berlin")
RUNS = {
    "short_day": {"schedule": DAYS, "tags": ["at=2025-03-30T22:00:00Z"]},
    "long_day": {"schedule": DAYS, "tags": ["at=2025-10-26T23:00:00Z"]},
    "no_date": {"schedule": None, "tags": ["at="]},
}
WHERE = {"collection": "sentinel-2-l2a", "bbox": [14.0, 46.0, 14.1, 46.1]}
DELIVERY = {
    "delivery": "s3://results/" + "calendars",
    "delivery_role_arn": "arn:aws:iam::123456789012:role/delivery",
    "deferrable": False,
    "poll_interval": 0.1,
}

for name, run in RUNS.items():
    time = {} if name != "no_date" else {"time_range": "P7D"}
    with DAG(name, **run) as dag:
        search = {"datetime": time["time_range"]} if time else {}
        SentinelHubCatalogSearchOperator(task_id="catalog", **WHERE, **search)
        SentinelHubSceneSensor(task_id="sensor", **WHERE, **search, timeout=1, soft_fail=True, poke_interval=1)
        picture = {**WHERE, "evalscript": "ndvi", "width": 8, "height": 8, **time}
        SentinelHubProcessOperator(task_id="process", **picture, output_path="FOLDER/" + name + ".tif")
        SentinelHubStatisticsOperator(task_id="statistics", **picture)
        SentinelHubAsyncProcessOperator(task_id="async", **picture, **DELIVERY)
        SentinelHubBatchProcessOperator(
            task_id="batch", **WHERE, evalscript="ndvi", tiling_grid=0, resolution=60, check_features=False, **time,
            **DELIVERY,
        )
        SentinelHubBatchStatisticsOperator(
            task_id="batch_statistics", collection=WHERE["collection"], evalscript="ndvi", resolution=0.001, **time,
            features="s3://results/fields.gpkg", check_features=False, **DELIVERY,
        )
    globals()[name] = dag

FUSED = [
    {"type": "sentinel-2-l2a", "dataFilter": {"timeRange": "P7D"}},
    {"type": "sentinel-1-grd", "dataFilter": {"timeRange": ["P14D", "P7D"]}},
]
INPUT = {"bounds": {"bbox": WHERE["bbox"]}, "data": FUSED}
SCRIPT = """//VERSION=3
function setup() {
  return {
    input: [{datasource: "a", bands: ["B04"]}, {datasource: "b", bands: ["VV"]}],
    output: [{id: "default", bands: 1, sampleType: "FLOAT32"}, {id: "dataMask", bands: 1}],
  };
}
function evaluatePixel(samples) { return {default: [1], dataMask: [1]}; }
"""
FUSED[0]["id"], FUSED[1]["id"] = "a", "b"
TIFF = {"responses": [{"identifier": "default", "format": {"type": "image/tiff"}}]}
AGGREGATION = {"timeRange": "P7D", "aggregationInterval": {"of": "P1D"}, "evalscript": SCRIPT}
S3 = {"s3": {"url": DELIVERY["delivery"], "iamRoleARN": DELIVERY["delivery_role_arn"]}}
WAIT = {"deferrable": False, "poll_interval": 0.1}
PICTURE = {"input": INPUT, "evalscript": SCRIPT}

with DAG("documents", schedule=None, tags=["at="]) as documents:
    SentinelHubProcessOperator(
        task_id="process", request={**PICTURE, "output": {"width": 8, "height": 8, **TIFF}},
        output_path="FOLDER/document.tif",
    )
    SentinelHubProcessOperator(
        task_id="entries", collection=FUSED, bbox=WHERE["bbox"], evalscript=SCRIPT, width=8, height=8,
        time_range="P30D", outputs="tiff", output_path="FOLDER/entries.tif",
    )
    SentinelHubStatisticsOperator(
        task_id="statistics", request={"input": INPUT, "aggregation": {**AGGREGATION, "width": 8, "height": 8}},
    )
    SentinelHubAsyncProcessOperator(
        task_id="async", **WAIT,
        request={**PICTURE, "output": {"width": 8, "height": 8, **TIFF, "delivery": S3}},
    )
    SentinelHubBatchProcessOperator(
        task_id="batch", check_features=False, **WAIT,
        request={
            "processRequest": {**PICTURE, "output": TIFF},
            "input": {"type": "tiling-grid", "id": 0, "resolution": 60},
            "output": {"type": "raster", "delivery": S3},
        },
    )
    SentinelHubBatchStatisticsOperator(
        task_id="batch_statistics", check_features=False, **WAIT,
        request={
            "input": {"features": {"s3": {"url": "s3://results/fields.gpkg"}}, "data": FUSED},
            "aggregation": {**AGGREGATION, "resx": 0.001, "resy": 0.001},
            "output": S3,
        },
    )
'''


@pytest.fixture(name="ran", scope="module")
def fixture_ran(sentinelhub_sandbox_server, dag_runner, tmp_path_factory) -> Any:
    """Run the three DAGs once, in a real Airflow; return what became of them, and what was sent."""
    server = sentinelhub_sandbox_server
    server.control.reset()
    server.control.jobs.set_durations(analysing=0.0, processing=0.0)
    home = tmp_path_factory.mktemp("calendars")
    (home / "dags").mkdir()
    (home / "dags" / "calendars.py").write_text(DAGS.replace("FOLDER", str(home)))
    yield dag_runner.run(server, home / "dags", home, auth_cache="memory")
    server.control.reset()


@pytest.mark.parametrize("task", ["catalog", "process", "statistics", "async", "batch", "batch_statistics", "sensor"])
@pytest.mark.parametrize("run", ["short_day", "long_day", "no_date"])
def test_every_operator_knows_its_time(run: str, task: str, ran):
    """It succeeds, with a data interval of a day that clocks change, and in a run without any date."""
    states = {"success", "skipped"} if task == "sensor" else {"success"}

    assert ran.runs[run]["tasks"][f"{task}[-1]"] in states, ran.log[-5000:]


@pytest.mark.parametrize("task", ["process", "entries", "statistics", "async", "batch", "batch_statistics"])
def test_relative_ranges_in_documents(task: str, ran):
    """In whole requests, and in the entries of fused collections, which have times of their own."""
    assert ran.runs["documents"]["tasks"][f"{task}[-1]"] == "success", ran.log[-5000:]


@pytest.mark.parametrize(("run", "hours"), [("short_day", 23), ("long_day", 25)])
def test_a_local_day_is_one_interval(run: str, hours: int, ran):
    """Whole, though it has not 24 hours."""
    from sentinelhub_provider.api.time_range import parse_time

    (row,) = ran.runs[run]["results"]["statistics[-1]"]["table"]
    length = parse_time(row["interval_to"]) - parse_time(row["interval_from"])
    assert length.total_seconds() == hours * 3600


def test_seven_days_before_the_run_are_seven_intervals(ran):
    """Up to the moment at which it was due."""
    assert len({row["interval_from"] for row in ran.runs["no_date"]["results"]["statistics[-1]"]["table"]}) == 7
