"""Run inside an Airflow: map a task of ``@task.sentinelhub``, execute it, print what it is and returned, as JSON.

Executed without Airflow's task runner: that of ``dag.test()`` in Airflow 3.2 does not work with every version of the
libraries it is installed with.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

from airflow.sdk import DAG, task

logging.disable()
FOLDER = Path(sys.argv[1])
AREAS = {"lake": [20.50, 47.50, 20.62, 47.56], "town": [21.58, 47.50, 21.66, 47.55]}

with DAG("taskflow", schedule=None):

    @task.sentinelhub(collection="sentinel-2-l2a", evalscript="true-colour", width=20)
    def picture(area: str, month: str, hook, *, ds: str) -> dict:
        """Ask with the hook for something, and for a picture."""
        assert hook.request("GET", "/catalog/v1/collections").ok
        return {
            "bbox": AREAS[area],
            "time_range": [f"{month}-01", f"{month}-28"],
            "output_path": f"{FOLDER}/{area}-{ds}.png",
        }

    pictures = picture.override(task_id="pictures", retries=2).partial(month="2025-06").expand(area=list(AREAS))

results = []
for area in AREAS:
    operator = pictures.operator.unmap({"op_kwargs": {"area": area}})
    context = {"ds": "2025-06-30", "ti": SimpleNamespace(xcom_push=lambda key, value: None)}
    operator.render_template_fields(context)
    results.append(operator.execute(context)["path"])
found = {"kind": pictures.operator.operator_name, "retries": operator.retries, "paths": results}
sys.stdout.write(f"\nRESULT {json.dumps(found)}\n")
