"""A sandbox in a process of its own, with jobs that run, and end at moments that nobody knows beforehand."""

from __future__ import annotations

import json
import random
import sys
import time

from sentinelhub_provider.sandbox.apis.batch.handlers import create
from sentinelhub_provider.sandbox.apis.jobs.store import JobStore
from sentinelhub_provider.sandbox.pytest_plugin import SandboxHandle
from sentinelhub_provider.sandbox.server import SandboxServer

AGE = 3600.0
"""Seconds since the jobs were created: young ones are looked at more often."""

SAMPLE = 0.2
"""Seconds between two looks at the number of requests."""

_PADDING = "// " + "x" * 4000
_REQUEST = {
    "processRequest": {
        "input": {
            "bounds": {"bbox": [13.8, 45.8, 13.9, 45.9]},
            "data": [
                {
                    "type": "sentinel-2-l2a",
                    "dataFilter": {"timeRange": {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T00:00:00Z"}},
                }
            ],
        },
        "output": {"responses": [{"identifier": "default", "format": {"type": "image/tiff"}}]},
        "evalscript": f"""//VERSION=3
function setup() {{ return {{input: ["B04"], output: {{bands: 1}}}}; }}
function evaluatePixel(sample) {{ return [sample.B04]; }}
{_PADDING}""",
    },
    "input": {"type": "tiling-grid", "id": 0, "resolution": 60.0},
    "output": {"type": "raster", "delivery": {"s3": {"url": "s3://bucket/out"}}},
    "description": "benchmark",
}


def main(count: int) -> None:
    """Make the jobs, tell of them, and do what is asked for on stdin, line by line."""
    with SandboxServer(control=True, clock=lambda: time.time() - AGE, token_lifetime=10 * AGE) as server:
        server.control.jobs.set_durations(analysing=0, processing=None)
        server.control.jobs.set_rasters(False)
        ids = []
        for _ in range(count):
            job = create(server.sandbox, server.client_id, _REQUEST)
            JobStore.of(server.sandbox).act(job, "START")
            ids.append(job.id)
        handle = SandboxHandle(server.url, server.client_id, server.client_secret, server.control)
        print(json.dumps({"connection": handle.connection_json(auth_cache="memory"), "ids": ids}), flush=True)
        for line in sys.stdin:
            print(json.dumps(_play(server, ids, **json.loads(line))), flush=True)


def _play(server: SandboxServer, ids: list[str], *, seconds: float, ends: int, until: float) -> dict[str, object]:
    """Let jobs end, and count requests, for a while.

    :param seconds: for how long.
    :param ends: how many jobs end.
    :param until: seconds after which none ends any more.
    """
    dice = random.Random(0)
    start = time.time()
    moments = sorted((start + dice.uniform(0, until), job) for job in dice.sample(ids, ends))
    ended: dict[str, float] = {}
    samples: list[tuple[float, int]] = []
    while (now := time.time()) < start + seconds:
        while moments and moments[0][0] <= now:
            _, job = moments.pop(0)
            server.control.jobs.step(job)
            ended[job] = time.time()
        if not samples or now - samples[-1][0] >= SAMPLE:
            asked = sum(record.method == "GET" for record in server.control.requests())
            samples.append((now, asked))
        time.sleep(0.02)
    return {"ended": ended, "samples": samples}


if __name__ == "__main__":
    main(int(sys.argv[1]))
