"""
Asks Airflow for the state of the task that a trigger waits for.

Airflow 3.3 calls a trigger's ``on_kill`` when it cancels the trigger. It does so when a user ends the task. It does
the same when a triggerer was silent for too long: then another triggerer runs the trigger, and nobody ended the task.
Only the state of the task tells one from the other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

UNKNOWN = "unknown"
"""Airflow did not tell the state, for whatever reason."""

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""States of a task in which nothing will wait for its job any more."""

ASK_SECONDS = 13.0
"""How long Airflow may take to answer; it gives ``on_kill`` 30 seconds in all."""


async def task_state(trigger: BaseTrigger) -> str | None:
    """
    Return the state of the trigger's task, such as ``deferred``.

    :returns: ``None`` for a task that was cleared and is not scheduled yet; :data:`UNKNOWN` where Airflow does not say.
    """
    task = trigger.task_instance
    if task is None:
        return UNKNOWN
    map_index = getattr(task, "map_index", None)
    is_mapped = map_index is not None and map_index >= 0

    def ask() -> str | None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        states = RuntimeTaskInstance.get_task_states(
            dag_id=task.dag_id,
            task_ids=[task.task_id],
            run_ids=[task.run_id],
            map_index=map_index if is_mapped else None,
        )
        state = states[task.run_id][f"{task.task_id}_{map_index}" if is_mapped else task.task_id]
        return None if state is None else str(getattr(state, "value", state))

    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await asyncio.to_thread(ask)
    except Exception as error:  # of Airflow's own, whichever: not to know is an answer
        trigger.log.warning("Airflow did not tell the state of the task (%s: %s)", type(error).__name__, error)
        return UNKNOWN


def has_ended(state: str | None) -> bool:
    """
    Tell whether a task is known to have ended, so that its job may be stopped.

    A task that is deferred waits on another triggerer. One that is scheduled, runs or waits for its retry has an
    attempt that takes care of the job: it reconnects to it, or stops it where a user cleared the task.
    """
    return state in ENDED
