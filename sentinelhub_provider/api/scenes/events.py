"""The event of new scenes, with the key of the watcher that announced them and the number of the announcement.

The watcher writes the event, and the provider's plugin reads it where Airflow stores it. The state store of the
watched asset holds two values of a watcher. Its memory is under the watcher's key, and the highest announced number
is under :func:`announced_key`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

KEY_PREFIX = "sentinelhub.scenes."

_KEY = re.compile(re.escape(KEY_PREFIX) + r"[0-9a-f]{16}")


def watcher_key(watched: Mapping[str, Any]) -> str:
    """Return the key of a watcher, which is the same for the same JSON."""
    return KEY_PREFIX + hashlib.sha256(json.dumps(watched, sort_keys=True).encode()).hexdigest()[:16]


def announced_key(key: str) -> str:
    """Return the key under which the highest announced number of a watcher is stored."""
    return f"{key}.announced"


def scenes_event(
    scenes: Sequence[Mapping[str, Any]], collection: str, area: Sequence[float] | None, key: str, number: int
) -> dict[str, Any]:
    """Return an event's payload with scenes, collection, watched area, and the key and number of the announcement."""
    return {
        "collection": collection,
        "area": area,
        "scenes": [dict(scene) for scene in scenes],
        "watch": {"key": key, "number": number},
    }


def watch_of(extra: Any) -> tuple[str, int] | None:
    """Return key and number of a stored event that a scene watcher fired, ``None`` for any other.

    :param extra: that of the asset event. An event posted to Airflow's API counts as another, whatever it contains.
    """
    if not isinstance(extra, Mapping) or extra.get("from_trigger") is not True or extra.get("from_rest_api"):
        return None
    payload = extra.get("payload")
    watch = payload.get("watch") if isinstance(payload, Mapping) else None
    if not isinstance(watch, Mapping):
        return None
    key, number = watch.get("key"), watch.get("number")
    if not isinstance(key, str) or not _KEY.fullmatch(key) or type(number) is not int:
        return None
    return key, number
