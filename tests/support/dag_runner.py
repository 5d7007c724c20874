"""Runs DAGs in one Airflow process, whose first run takes ten seconds and more. ``dag_runs.py`` starts it.

Each line of the standard input is an order, ``{"home": ..., "dags": ..., "connections": [...], "environment": {...}}``:
every DAG of the folder ``dags`` is run once with each connection, and with the variables of ``environment``. Then
``home`` has the file ``log`` and ``result.json``, a list with an element for each connection: for each DAG its run's
state and the states and results of its tasks. A line on the standard output tells that they are there.

A DAG's tag ``at=2025-03-30`` gives the run that logical date, ``at=`` gives it none, as runs that assets start have.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Take orders until there are no more. Airflow's home comes from the environment."""
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY"] = "1"  # a task that fails is not waited for
    answers = os.fdopen(os.dup(1), "w")
    is_first = True
    for line in sys.stdin:
        order = json.loads(line)
        home = Path(order["home"])
        with (home / "log").open("w") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        before = dict(os.environ)
        try:
            if is_first:
                _migrate()
                is_first = False
            os.environ |= order["environment"]
            result = _run(home, order["dags"], order["connections"])
        except Exception:
            traceback.print_exc()
            result = None
        finally:
            os.environ.clear()
            os.environ |= before
        sys.stdout.flush()
        sys.stderr.flush()
        (home / "result.json").write_text(json.dumps(result))
        print("done", file=answers, flush=True)


def _migrate() -> None:
    from airflow.sdk.execution_time import supervisor
    from airflow.utils.db import initdb

    initdb()
    # Before Airflow 3.3, which does so itself, each task would take seconds to make the API anew.
    supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


def _run(home: Path, folder: str, connections: list[str]) -> list[dict]:
    from airflow import settings

    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag

    from sentinelhub_provider.oauth.broker import forget_tokens

    os.chdir(home)
    settings.DAGS_FOLDER = folder  # from where each run stores the DAGs
    sys.path.append(folder)  # Airflow puts the folder of its DAGs there as well
    try:
        bag = DagBag(dag_folder=folder)
        assert not bag.import_errors, bag.import_errors
        runs = []
        for connection in connections:
            os.environ["AIRFLOW_CONN_SENTINELHUB_DEFAULT"] = connection
            forget_tokens()
            runs.append({dag_id: record(dag.test(**dates(dag))) for dag_id, dag in bag.dags.items()})
        return runs
    finally:
        sys.path.remove(folder)


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
        "seconds": {
            f"{ti.task_id}[{ti.map_index}]": (ti.end_date - ti.start_date).total_seconds()
            for ti in instances
            if ti.start_date and ti.end_date
        },
        "results": {
            f"{ti.task_id}[{ti.map_index}]": ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
            for ti in instances
        },
    }


if __name__ == "__main__":
    main()
