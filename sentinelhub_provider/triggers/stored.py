"""Storage of triggers between Airflow's processes, and errors for arguments that cannot work."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from airflow.triggers.base import BaseTrigger

from sentinelhub_provider.exceptions import SentinelHubRequestError


class InvalidTriggerError(SentinelHubRequestError, TypeError):
    """Arguments with which a trigger cannot work. ``field`` names the one to change.

    The triggerer fails the task for a constructor's ``TypeError``. Any other error ends the triggerer with all its
    triggers.
    """


def _checked(make: Callable[..., None]) -> Callable[..., None]:
    """Make a trigger's constructor raise :class:`InvalidTriggerError` for everything that it refuses."""

    @wraps(make)
    def checked(trigger: Any, *arguments: Any, **named: Any) -> None:
        try:
            make(trigger, *arguments, **named)
        except SentinelHubRequestError as error:
            raise InvalidTriggerError(str(error), field=error.field) from error
        except TypeError:
            raise
        except Exception as error:
            raise InvalidTriggerError(
                f"{type(trigger).__name__} cannot be made of these arguments ({type(error).__name__}: {error}).",
                field="trigger",
            ) from error

    return checked


class StoredTrigger(BaseTrigger):
    """A trigger whose attributes are its constructor's arguments. None of them is secret."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__init__ = _checked(cls.__init__)  # type: ignore[method-assign]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, from which another triggerer makes it again."""
        kind = type(self)
        stored = {name: getattr(self, name) for name in inspect.signature(kind).parameters}
        return f"{kind.__module__}.{kind.__qualname__}", stored | self._stored()

    def _stored(self) -> dict[str, Any]:
        """Return the arguments that are stored in another form than in the attributes."""
        return {}
