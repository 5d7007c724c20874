"""How Airflow stores a trigger between processes, and what becomes of arguments that cannot work."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sentinelhub_provider.exceptions import SentinelHubRequestError

Trigger = TypeVar("Trigger")
P = ParamSpec("P")


class InvalidTriggerError(SentinelHubRequestError, TypeError):
    """Arguments with which a trigger cannot work; ``field`` names the one to change.

    The triggerer fails the task for a constructor's ``TypeError``. Any other error ends the triggerer with all its
    triggers.
    """


def checking(make: Callable[Concatenate[Trigger, P], None]) -> Callable[Concatenate[Trigger, P], None]:
    """Let a trigger's constructor raise :class:`InvalidTriggerError` for whatever it refuses."""

    @wraps(make)
    def checked(self: Trigger, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            make(self, *args, **kwargs)
        except SentinelHubRequestError as error:
            raise InvalidTriggerError(str(error), field=error.field) from error
        except TypeError:
            raise
        except Exception as error:
            raise InvalidTriggerError(
                f"{type(self).__name__} cannot be made of these arguments ({type(error).__name__}: {error}).",
                field="trigger",
            ) from error

    return checked


class StoredTrigger:
    """A trigger whose attributes are the arguments that it is made from; none of them is secret."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, from which another triggerer makes it anew."""
        kind = type(self)
        stored = {name: getattr(self, name) for name in inspect.signature(kind).parameters}
        return f"{kind.__module__}.{kind.__qualname__}", stored | self._stored()

    def _stored(self) -> dict[str, Any]:
        """Return the arguments that are stored in another form than the attributes have."""
        return {}
