"""Tasks whose attempts are processes that die at a chosen step of their job's life."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from attempt_process import Attempt, Attempts
from gate import Gate, Hold
from job_requests import BOX, EVALSCRIPT, JUNE, JUNE_TILES
from s3_server import BUCKET

ROLE = "arn:aws:iam::123456789012:role/delivery"
BATCH = {
    **JUNE_TILES,
    "delivery": "s3://bucket/batch",
    "delivery_role_arn": ROLE,
    "check_features": False,
}
STATISTICS = {
    "collection": "sentinel-2-l2a",
    "evalscript": "ndvi-clear",
    "time_range": JUNE,
    "aggregation_interval": "P10D",
    "features": "s3://bucket/fields.gpkg",
    "resolution": 0.001,
    "delivery": "s3://bucket/statistics",
    "delivery_role_arn": ROLE,
    "check_features": False,
}
PICTURE = {
    "collection": "sentinel-2-l2a",
    "evalscript": EVALSCRIPT,
    "time_range": JUNE,
    "bbox": BOX,
    "width": 32,
    "height": 32,
    "delivery": f"s3://{BUCKET}/async",
    "delivery_conn_id": "bucket",
}
LARGE = {"resolution": 10, "bbox": [13.8, 45.8, 14.8, 46.8]}
"""Many tiles, so that a batch job costs more than its least, and not what was estimated."""
ARGUMENTS = {"batch": BATCH, "statistics": STATISTICS, "async": PICTURE}
PATHS = {"batch": "/batch/v2/process", "statistics": "/statistics/batch/v1", "async": "/async/v1/process"}
STEPS = {
    "first listing": ("GET", "$", 1),
    "create": ("POST", "$", 1),
    "second listing": ("GET", "$", 2),
    "start": ("POST", "/[^/]+/start$", 1),
    "first look": ("GET", "/[^/]+(/status)?$", 1),
    "a later look": ("GET", "/[^/]+(/status)?$", 2),
}


PACE = {"analysing": 0.05, "processing": 0.15, "stopping": 0.0, "restart_after_stop": 0.0}


class Deaths:
    """A task whose attempts die."""

    def __init__(self, processes: Attempts, door: Gate, sandbox: Any, folder: Path) -> None:
        self._processes = processes
        self._door = door
        self._folder = folder
        self.jobs = sandbox.control.jobs
        self.jobs.set_durations(**PACE)
        self.jobs.set_rasters(False)
        connection = sandbox.airflow_connection(auth_cache="memory")
        self._lane = f"lane{id(self)}"
        connection["host"] = f"{door.url}/{self._lane}"
        self.environment = {"AIRFLOW_CONN_SENTINELHUB_DEFAULT": json.dumps(connection)}
        self.try_number = 0

    def begin(self, kind: str, *, store: bool, **changes: Any) -> Attempt:
        """Begin an attempt."""
        self.try_number += 1
        return self._processes.begin(
            kind,
            try_number=self.try_number,
            environment=self.environment,
            store=self._folder / "store.json" if store else None,
            **{"poll_interval": 0.05, **ARGUMENTS[kind], **changes},
        )

    def held_at(self, kind: str, hold: Hold, *, store: bool, **changes: Any) -> Attempt:
        """Begin an attempt, and return it while a request is held."""
        self._door.hold(self._lane, hold)
        attempt = self.begin(kind, store=store, **changes)
        self._door.wait_until_held([self._lane], seconds=30)
        return attempt

    def let_go(self) -> None:
        """Let the request that is held go on."""
        self._door.open(self._lane)

    def killed_at(self, kind: str, hold: Hold, *, store: bool, **changes: Any) -> None:
        """Begin an attempt, and kill its process while a request is held."""
        is_look = hold.method == "GET" and "/[^/]+" in hold.path
        if is_look:  # on a slow machine the job must not be over before it is looked at
            self.jobs.set_durations(**{**PACE, "processing": None})
        attempt = self.held_at(kind, hold, store=store, **changes)
        attempt.kill()
        assert attempt.wait() == -signal.SIGKILL
        self._door.cut(self._lane)
        del self._door.holds[self._lane]
        if is_look:
            self.jobs.set_durations(**PACE)
            while self.jobs.step():
                pass

    def started(self) -> list[Any]:
        """Return the jobs that were started."""
        return [job for job in self.jobs.all() if job.starts]


def hold_at(kind: str, step: str, when: Any) -> Hold:
    """Return what holds a step of a kind's life."""
    method, rest, number = STEPS[step]
    return Hold(method, f"^{PATHS[kind]}{rest}", when, number)
