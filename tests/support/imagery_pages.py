"""The pages of *Satellite imagery* in front of a database of Airflow's, with what tasks leave in it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow import settings
from airflow.api_fastapi import app as airflow_app
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, delete, event, insert, update
from sqlalchemy.orm import sessionmaker

from sentinelhub_provider.plugins.imagery import APPS

BASE = "/air/flow"
RUN = "manual__2025-06-01T06:00:00+00:00"
NOW = datetime.now(UTC)
FACTS = {
    "operator": "SentinelHubProcessOperator",
    "conn_id": "sentinelhub_default",
    "limits": {"processing_units_per_day": 500},
    "collections": ["sentinel-2-l2a"],
    "evalscript": "ndvi",
    "time_range": {"from": "2025-06-01T00:00:00Z", "to": "2025-06-07T23:59:59Z"},
    "footprint": {"type": "Polygon", "coordinates": [[[14, 46], [14.1, 46], [14.1, 46.1], [14, 46.1], [14, 46]]]},
    "size": [512, 512],
    "path": "/data/ndvi.tif",
    "coverage": 0.875,
    "max_cloud_cover": 30,
    "request_sha256": "ab" * 32,
    "processing_units": 1.25,
    "estimated_processing_units": 1.5,
    "pictures": 1,
    "has_table": False,
}


def webp(size: tuple[int, int] = (64, 48), colour: tuple[int, int, int] = (20, 120, 60)) -> str:
    """Return a preview, as XCom has it."""
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", size, colour).save(file, "WEBP")
    return base64.b64encode(file.getvalue()).decode()


class AuthManager(SimpleAuthManager):
    """Lets each user read the XComs of some DAGs: those that the user's name lists; ``admin`` reads all."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        """Tell whether a user may do something with a DAG."""
        may = super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
        named = user.username.split(",")
        return may and (named == ["admin"] or getattr(details, "id", None) in named)

    def filter_authorized_dag_ids(self, *, dag_ids: set[str], user: Any, **_: Any) -> set[str]:
        """Return the DAGs that a user may see, by their names alone: XComs are asked for one by one."""
        return dag_ids


class Pages:
    """The pages, and the database behind them."""

    def __init__(self, session: Any, client: TestClient, manager: AuthManager) -> None:
        self.session, self.client, self._manager = session, client, manager
        self._runs: dict[tuple[str, str], int] = {}

    def log_in(self, name: str = "admin", role: str | None = "VIEWER") -> None:
        """Let a user make the next requests."""
        token = self._manager.generate_jwt(SimpleAuthManagerUser(username=name, role=role))
        self.client.cookies.set("_token", token)

    def get(self, path: str, status: int = 200) -> str:
        """Return a page."""
        answer = self.client.get(f"{BASE}/sentinelhub/{path}")
        assert answer.status_code == status, answer.text[-3000:]
        return answer.text

    def task(
        self,
        task_id: str = "ndvi",
        *,
        dag_id: str = "weekly",
        run_id: str = RUN,
        map_index: int = -1,
        state: str | None = "success",
        operator: str = "SentinelHubProcessOperator",
        name: str | None = None,
        **xcoms: Any,
    ) -> str:
        """Put a task instance into the database, and what it left; return the address of its page."""
        if not any(dag == dag_id for dag, _ in self._runs):
            self.session.add(DagModel(dag_id=dag_id, bundle_name="dags"))
            self.session.flush()
        if (dag_id, run_id) not in self._runs:
            self._runs[dag_id, run_id] = number = len(self._runs) + 1
            times = {"run_after": NOW, "start_date": NOW, "logical_date": NOW + timedelta(seconds=number)}
            run = {"id": number, "dag_id": dag_id, "run_id": run_id, "run_type": "manual", "state": "success"}
            self._insert(DagRun, **run, **times)
        key = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
        self._insert(
            TaskInstance,
            **key,
            state=state,
            operator=operator,
            try_number=1,
            max_tries=0,
            pool="default_pool",
            pool_slots=1,
            start_date=NOW,
            end_date=None if state in ("running", "deferred") else NOW,
            rendered_map_index=name,
        )
        for xcom, value in xcoms.items():
            row = {"dag_run_id": self._runs[dag_id, run_id], "key": xcom, "value": value, "timestamp": NOW}
            self._insert(XComModel, **key, **row)
        self.session.commit()
        return f"tasks/{quote(dag_id)}/{quote(run_id, safe='')}/{quote(task_id)}/{map_index}"

    def change(self, xcom: str, value: Any) -> None:
        """Let somebody edit an XCom."""
        self.session.execute(update(XComModel).where(XComModel.key == xcom).values(value=value))
        self.session.commit()

    def picture(self, task_id: str = "ndvi", **changes: Any) -> str:
        """Put a task into the database that made a picture."""
        facts = FACTS | changes.pop("facts", {})
        previews = {"pictures": [{"name": "default", "path": facts["path"], "webp": webp()}]}
        xcoms = {"sentinelhub_imagery": facts, "sentinelhub_previews": previews, "processing_units": 1.25}
        return self.task(task_id, **{**xcoms, **changes})

    def _insert(self, model: Any, **values: Any) -> None:
        self.session.execute(insert(model.__table__).values(**values))

    def clear(self) -> None:
        """Remove all."""
        for model in (XComModel, TaskInstance, DagRun, DagModel):
            self.session.execute(delete(model))
        self.session.commit()
        self._runs.clear()
        self.client.cookies.clear()


@contextmanager
def imagery_pages(folder: Path) -> Iterator[Pages]:
    """Give the pages, below a base path as behind a proxy, and an empty database, until the block ends."""
    import_all_models()
    os.environ["AIRFLOW__API_AUTH__JWT_SECRET"] = "the secret of tests " * 4
    engine = create_engine(f"sqlite:///{folder}/airflow.db", connect_args={"check_same_thread": False})
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    Base.metadata.create_all(engine)
    sessions, before = sessionmaker(engine), (settings.Session, settings.NonScopedSession)
    settings.Session = settings.NonScopedSession = sessions  # type: ignore[assignment]
    state = airflow_app._AuthManagerState
    former, state.instance = state.instance, AuthManager()
    root = FastAPI(root_path=BASE)
    for one in APPS:
        root.mount(one["url_prefix"], one["app"])
    try:
        with (
            sessions() as session,
            TestClient(root, base_url="http://testserver", raise_server_exceptions=True) as client,
        ):
            session.execute(insert(DagBundleModel).values(name="dags"))
            session.commit()
            yield Pages(session, client, state.instance)
    finally:
        state.instance = former
        del os.environ["AIRFLOW__API_AUTH__JWT_SECRET"]
        settings.Session, settings.NonScopedSession = before
        engine.dispose()


def plain(value: Any) -> str:
    """Return a value as an XCom that is a text of JSON has it."""
    return json.dumps(value)
