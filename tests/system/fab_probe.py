"""Asks the pages of *Satellite imagery* as users of FAB's roles, in a whole Airflow, and prints what they saw.

Run by an interpreter that has Airflow, FAB's provider and this package, with Airflow's home in the environment.
"""

from __future__ import annotations

import json
import subprocess
import sys

import imagery_pages
from airflow import settings
from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.models.dagbundle import DagBundleModel
from fastapi.testclient import TestClient
from imagery_pages import RUN, Pages
from sqlalchemy import insert

ROLES = ("Admin", "Op", "User", "Viewer", "Public", "Weekly", "Blind")
"""Those of FAB, and two of our own: one reads one DAG with its XComs, one that DAG without."""


def airflow(*arguments: str) -> None:
    """Run one of Airflow's commands."""
    subprocess.run([sys.executable, "-m", "airflow", *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Fill the database, and look at it as each of the users."""
    airflow("db", "migrate")
    airflow("roles", "create", "Weekly", "Blind")
    airflow("roles", "add-perms", "Weekly", "--action", "can_read", "--resource", "XComs")
    for role in ROLES:
        person = ("--firstname", role, "--lastname", role, "--email", f"{role}@example.org")
        airflow("users", "create", "--username", role, "--password", "pw", "--role", role, *person)
    app = create_app()
    session = settings.Session()
    session.execute(insert(DagBundleModel.__table__).values(name="dags"))
    imagery_pages.BASE = ""
    seen = {}
    with TestClient(app) as client:
        pages = Pages(session, client, None)
        address = pages.picture()
        pages.picture(dag_id="monthly")
        manager = get_auth_manager()
        with manager.flask_app.app_context():
            access = {role: {"DAGs": {"can_read"}} for role in ("Weekly", "Blind")}
            manager.security_manager.sync_perm_for_dag("weekly", access)
        paths = {
            "overview": "sentinelhub/",
            "task": f"sentinelhub/{address}",
            "run": f"sentinelhub/runs/weekly/{RUN}",
            "picture": f"sentinelhub/{address.replace('tasks', 'pictures')}/0",
            "other": f"sentinelhub/{address.replace('weekly', 'monthly')}",
            "menu": "api/v2/plugins",
        }
        for role in ROLES:
            client.cookies.clear()
            token = client.post("/auth/token", json={"username": role, "password": "pw"}).json()["access_token"]
            answers = {
                name: client.get(f"/{path}", headers={"Authorization": f"Bearer {token}"})
                for name, path in paths.items()
            }
            listed = [dag_id for dag_id in ("weekly", "monthly") if dag_id in answers["overview"].text]
            seen[role] = [listed, [name for name, answer in answers.items() if answer.status_code == 200]]
    sys.stdout.write(f"SEEN {json.dumps(seen)}\n")


if __name__ == "__main__":
    main()
