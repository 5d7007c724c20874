"""The example of a Batch Process job, run in a real Airflow against the sandbox."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "example_sentinelhub_batch.py"


def test_the_report_names_the_place_of_the_pictures(sentinelhub_sandbox_server, dag_runner, tmp_path: Path):
    """A folder in the bucket, and no placeholder such as ``<tileName>``."""
    control: Any = sentinelhub_sandbox_server.control
    control.reset()
    control.jobs.set_durations(analysing=0.0, processing=0.0)
    (tmp_path / "dags").mkdir()
    shutil.copy(EXAMPLE, tmp_path / "dags")

    ran = dag_runner.run(sentinelhub_sandbox_server, tmp_path / "dags", tmp_path)

    run = ran.runs["example_sentinelhub_batch"]
    (job,) = control.jobs.all()
    assert run["state"] == "success", ran.log[-5000:]
    expected = rf"(\d+ of \d+ tiles|tiles \(uncounted\)) below s3://my-bucket/ndvi/{job.id} for [\d.]+ PU"
    assert re.fullmatch(expected, run["results"]["report[-1]"])
