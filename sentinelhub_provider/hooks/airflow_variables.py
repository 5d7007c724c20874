"""Airflow Variables, as the token store wants them."""

from __future__ import annotations

from airflow.sdk import Variable


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
