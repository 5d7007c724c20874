"""Airflow Variables, as the token store wants them."""

from __future__ import annotations

import asyncio

from airflow.sdk import Variable
from airflow.sdk import __version__ as sdk_version
from packaging.version import Version

_ANSWERS_ANY_THREAD = Version("1.2")
"""Version of the Task SDK that came with Airflow 3.2."""


def are_within_reach() -> bool:
    """
    Tell whether Variables may be used here.

    They are asked for in a thread, where the caller is an event loop. The triggerer of Airflow 3.1 mixes up the answers
    to questions from several threads, and breaks down.
    """
    if Version(sdk_version) >= _ANSWERS_ANY_THREAD:
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


class AirflowVariables:
    """Reads and writes Airflow Variables through the task's API."""

    def get(self, name: str) -> str | None:
        """Return a variable's value, ``None`` where there is none."""
        value = Variable.get(name, default=None)
        return None if value is None else str(value)

    def set(self, name: str, value: str) -> None:
        """Set a variable."""
        Variable.set(name, value, description="Kept by airflow-provider-sentinelhub; may be deleted at any time.")

    def delete(self, name: str) -> None:
        """Remove a variable; does nothing where there is none."""
        Variable.delete(name)
