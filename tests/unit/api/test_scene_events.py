"""Events of new scenes: what they hold, and by what they are told from others."""

from __future__ import annotations

import json

import pytest

from sentinelhub_provider.api.scenes.events import announced_key, scenes_event, watch_of, watcher_key

KEY = watcher_key({"collection": "sentinel-2-l2a", "bbox": [1.0, 2.0, 3.0, 4.0]})
SCENE = {"id": "a", "datetime": "2024-06-01T10:00:00Z", "cloud_cover": 1.0, "bbox": [1, 2, 3, 4]}


def test_an_event_tells_who_announced_it():
    """Through JSON and back."""
    payload = json.loads(json.dumps(scenes_event([SCENE, SCENE], "sentinel-2-l2a", [1.0, 2.0, 3.0, 4.0], KEY, 7)))

    assert payload["scenes"] == [SCENE, SCENE]
    assert (payload["collection"], payload["area"]) == ("sentinel-2-l2a", [1.0, 2.0, 3.0, 4.0])
    assert watch_of({"from_trigger": True, "payload": payload}) == (KEY, 7)


def test_a_key_is_of_what_is_watched():
    """In whatever order it is written; its two values have keys of their own."""
    assert watcher_key({"bbox": [1.0, 2.0, 3.0, 4.0], "collection": "sentinel-2-l2a"}) == KEY
    assert watcher_key({"collection": "sentinel-2-l2a"}) != KEY
    assert announced_key(KEY) != KEY


@pytest.mark.parametrize(
    "extra",
    [
        None,
        {},
        {"from_trigger": True, "payload": "text"},
        {"from_trigger": True, "payload": {"watch": "text"}},
        {"from_trigger": True, "payload": {"watch": {"key": "mine", "number": 1}}},
        {"from_trigger": True, "payload": {"watch": {"key": KEY + "0", "number": 1}}},
        {"from_trigger": True, "payload": {"watch": {"key": KEY, "number": True}}},
        {"payload": {"watch": {"key": KEY, "number": 1}}},
        {"from_trigger": True, "from_rest_api": True, "payload": {"watch": {"key": KEY, "number": 1}}},
    ],
)
def test_other_events_are_none_of_its_business(extra):
    """Whatever they carry, and also where somebody posts one that looks alike."""
    assert watch_of(extra) is None
