"""Tasks of the job operators as Airflow runs them, without an Airflow: attempts, deferrals, retries, clears."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

RUN_STARTED = datetime(2026, 1, 5, 6, 0, 0, 123456, tzinfo=UTC)


class Clock:
    """The time; waits of triggers that only wait pass at once."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """Return it."""
        return datetime.now(UTC) + self.ahead

    def advance_to(self, moment: datetime) -> None:
        """Let the time until a moment pass."""
        self.ahead = max(self.ahead, moment - datetime.now(UTC))


class Variables:
    """Airflow's Variables, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str, default: Any, deserialize_json: bool) -> Any:
        """Return a value."""
        assert deserialize_json
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key: str, value: Any, description: str, serialize_json: bool) -> None:
        """Keep a value."""
        assert serialize_json
        assert description
        self.kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        """Forget a value."""
        del self.kept[key]


class StateStore:
    """Airflow 3.3's task state store, in memory or in a file.

    :param path: a file that outlives this process.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value."""
        return self._load().get(key, default)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Keep a value."""
        self._save({**self._load(), key: value})

    def delete(self, key: str) -> None:
        """Drop a value."""
        self._save({name: value for name, value in self._load().items() if name != key})

    def _load(self) -> dict[str, Any]:
        if self._path is not None:
            return dict(json.loads(self._path.read_text())) if self._path.exists() else {}
        return dict(json.loads(json.dumps(self.values)))

    def _save(self, values: dict[str, Any]) -> None:
        if self._path is None:
            self.values = json.loads(json.dumps(values))
            return
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(values))
        part.replace(self._path)


class TaskInstance:
    """What operators need of one. ``xcom``: what was pushed."""

    def __init__(self, dag_id: str, try_number: int, max_tries: int) -> None:
        self.dag_id, self.run_id, self.map_index = dag_id, "scheduled__2026-01-05", -1
        self.try_number, self.max_tries = try_number, max_tries
        self.xcom: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Push a value, which has to be JSON."""
        self.xcom[key] = json.loads(json.dumps(value))

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        """Return what this task pushed."""
        assert (task_ids, map_indexes) == ("job", self.map_index)
        return self.xcom.get(key)


class OutletEvents:
    """The events of a task's outlets, by the names of their assets."""

    def __init__(self) -> None:
        self.extras: dict[str, dict[str, Any]] = {}

    def __getitem__(self, asset: Any) -> Any:
        """Return the event of an asset."""
        return SimpleNamespace(extra=self.extras.setdefault(asset.name, {}))


class DagRun:
    """What operators need of one."""

    start_date = run_after = RUN_STARTED
    clear_number = 0


class Task:
    """A task of a DAG run.

    :param operator: the operator's class; each attempt has an operator of its own, as it has a process of its own.
    :param store: the task state store, ``None`` before Airflow 3.3.
    :param clock: the operators' time.
    """

    def __init__(
        self,
        operator: type[Any],
        *,
        store: StateStore | None = None,
        retries: int = 3,
        clock: Callable[[], datetime] | None = None,
        dag_id: str = "dag",
        **arguments: Any,
    ) -> None:
        self.clock = clock if clock is not None else Clock()
        self._class = type(operator.__name__, (operator,), {"_clock": staticmethod(self.clock)})
        self._arguments = {"task_id": "job", "retries": retries, **arguments}
        self._dag_id = dag_id
        self.store = store
        self.retries = retries
        self.try_number = 0
        self.max_tries = retries
        self.instance = TaskInstance(dag_id, 1, retries)
        self.deferrals: list[tuple[str, dict[str, Any]]] = []
        self.events: list[Any] = []
        self.outlet_events = OutletEvents()

    def operator(self) -> Any:
        """Return a fresh operator."""
        return self._class(**self._arguments)

    def context(self) -> dict[str, Any]:
        """Return what an attempt is given."""
        context: dict[str, Any] = {"ti": self.instance, "run_id": self.instance.run_id, "dag_run": DagRun()}
        context["outlet_events"] = self.outlet_events
        return context if self.store is None else {**context, "task_state_store": self.store}

    def begin(self) -> tuple[Any, dict[str, Any]]:
        """Begin an attempt: XCom is empty then, as Airflow clears it."""
        self.try_number += 1
        self.instance = TaskInstance(self._dag_id, self.try_number, self.max_tries)
        return self.operator(), self.context()

    def attempt(self) -> Any:
        """Make an attempt, waits in the triggerer included; return its result or raise its error."""
        operator, context = self.begin()
        return self.drive(lambda: operator.execute(context))

    def drive(self, begin: Callable[[], Any], most: int = 30) -> Any:
        """Do a piece of an attempt, and all that follow its deferrals."""
        step = begin
        for _ in range(most):
            try:
                return step()
            except TaskDeferred as deferred:
                step = self.after(deferred)
        raise AssertionError(f"it is deferred without end: {self.deferrals}")

    def after(self, deferred: TaskDeferred) -> Callable[[], Any]:
        """Wait as the triggerer does; return how the task goes on, in another process."""
        path, kwargs = deferred.trigger.serialize()
        kwargs = plain(kwargs)
        self.deferrals.append((path, kwargs))
        event = self._event(path, kwargs)
        self.events.append(event)
        method = getattr(self.operator(), deferred.method_name)
        resumed = plain(deferred.kwargs or {})
        return lambda: method(self.context(), event, **resumed)

    def clear(self) -> None:
        """Clear the finished task, as a user does."""
        self.max_tries = self.try_number + self.retries

    def _event(self, path: str, kwargs: dict[str, Any]) -> Any:
        if path.endswith("DateTimeTrigger"):
            assert isinstance(self.clock, Clock)
            self.clock.advance_to(datetime.fromisoformat(kwargs["moment"]))
            return kwargs["moment"]
        module, _, name = path.rpartition(".")
        trigger = getattr(importlib.import_module(module), name)(**kwargs)

        async def first() -> Any:
            async for event in trigger.run():
                return event.payload
            return None

        return asyncio.run(first())


def plain(value: Any) -> Any:
    """Return what is left of a value that went through the database."""
    return json.loads(json.dumps(value, default=lambda moment: moment.isoformat()))
