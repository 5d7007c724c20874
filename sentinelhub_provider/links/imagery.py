"""The button *Imagery*, which leads from a task instance to its page of *Satellite imagery*."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

TITLE = "Satellite imagery"
PREFIX = "sentinelhub"
"""Path of the pages below Airflow's base URL."""


def page_of(dag_id: str, run_id: str, task_id: str, map_index: int | str) -> str:
    """Return the address of a task instance's page.

    It is relative to Airflow's base URL, whose path may have a prefix.
    """
    parts = (quote(str(part), safe="") for part in (dag_id, run_id, task_id, map_index))
    return "/".join((PREFIX, "tasks", *parts))


class ImageryLink(BaseOperatorLink):
    """Leads to the task instance's page. It needs only the names, so it stays the same after a deferral."""

    name = "Imagery"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, empty for a task that leaves nothing in XCom. An empty address gives no button."""
        if not operator.do_xcom_push:
            return ""
        return page_of(ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)
