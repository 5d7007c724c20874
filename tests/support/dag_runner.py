"""
Runs every DAG of a folder in an Airflow of its own, in one process, once with each connection; a test starts it.

    python dag_runner.py FOLDER RESULT CONNECTION...

A DAG's tag ``at=2025-03-30`` gives the run that logical date, ``at=`` gives it none, as runs that assets start have.

RESULT is a JSON file, a list with an element for each connection: for each DAG its run's state and the states and
results of its tasks. Airflow's home comes from the environment.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(folder: str, result: str, *connections: str) -> None:
    """Run the DAGs."""
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = folder
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    bag = DagBag(dag_folder=folder)
    assert not bag.import_errors, bag.import_errors
    runs = []
    for connection in connections:
        os.environ["AIRFLOW_CONN_SENTINELHUB_DEFAULT"] = connection
        runs.append({dag_id: record(dag.test(**dates(dag))) for dag_id, dag in bag.dags.items()})
    Path(result).write_text(json.dumps(runs))


def dates(dag) -> dict:
    """Return the dates that a DAG's tags name for its run."""
    from airflow.sdk.timezone import parse

    named = next((tag.removeprefix("at=") for tag in dag.tags if tag.startswith("at=")), None)
    return {} if named is None else {"logical_date": parse(named) if named else None}


def record(run) -> dict:
    """Return what became of a run."""
    instances = run.get_task_instances()
    return {
        "state": str(run.state),
        "tasks": {f"{ti.task_id}[{ti.map_index}]": str(ti.state) for ti in instances},
        "results": {
            f"{ti.task_id}[{ti.map_index}]": ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
            for ti in instances
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
