"""The scene trigger without a service: its arguments, and what Airflow stores of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.models.trigger import Trigger
from airflow.sdk import AssetWatcher
from airflow.serialization.decoders import smart_decode_trigger_kwargs
from airflow.serialization.encoders import encode_trigger
from airflow.triggers.base import BaseEventTrigger

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.triggers.scene import SentinelHubSceneTrigger
from sentinelhub_provider.triggers.stored import InvalidTriggerError

TRIANGLE = {"type": "Polygon", "coordinates": [[[14, 46], [14.1, 46], [14.1, 46.1], [14, 46]]]}
CQL2 = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}
ALL = {
    "collection": "sentinel-2-l2a",
    "intersects": TRIANGLE,
    "max_cloud_cover": 30,
    "filter": CQL2,
    "start": "2024-06-01",
    "lookback": 3,
    "reprocessed": "announce",
    "poll_interval": 60,
    "sentinelhub_conn_id": "other",
}


def trigger(**changed: Any) -> SentinelHubSceneTrigger:
    """Make one."""
    return SentinelHubSceneTrigger(**{"collection": "sentinel-2-l2a", "bbox": [14, 46, 14.1, 46.1], **changed})


@pytest.mark.parametrize("arguments", [{"collection": "sentinel-1-grd"}, ALL], ids=["least", "all"])
def test_airflow_makes_the_same_trigger_from_what_it_stores(arguments):
    """Through the DAG's serialization and the encrypted row, back to an equal trigger with an equal identity."""
    original = SentinelHubSceneTrigger(**arguments)
    path, kwargs = original.serialize()
    encoded = encode_trigger(original)
    row = Trigger(classpath=encoded["classpath"], kwargs=encoded["kwargs"])
    stored = {name: smart_decode_trigger_kwargs(value) for name, value in row.kwargs.items()}

    again = SentinelHubSceneTrigger(**stored)

    assert again.serialize() == (path, kwargs)
    assert again.state_key == original.state_key
    # Otherwise each parse of the DAG would replace the trigger by a new one.
    assert BaseEventTrigger.hash(path, row.kwargs) == BaseEventTrigger.hash(path, encoded["kwargs"])
    assert BaseEventTrigger.hash(path, kwargs) == BaseEventTrigger.hash(*again.serialize())


def test_arguments_in_any_form_are_one_trigger():
    """Tuples, numbers and times in other spellings do not make another watcher."""
    one = trigger(bbox=(14, 46, 14.1, 46.1), start=datetime(2024, 6, 1, tzinfo=UTC), lookback=timedelta(days=7))
    other = trigger(start="2024-06-01T02:00:00+02:00", lookback=7)

    assert one.serialize() == other.serialize()
    assert json.loads(json.dumps(one.serialize()[1])) == one.serialize()[1]


def test_a_watcher_takes_it():
    """It is one of the triggers that may start DAGs."""
    assert AssetWatcher(name="new_scenes", trigger=trigger()).trigger is not None


def test_the_memory_belongs_to_what_is_watched():
    """How often and how far back one looks may change without forgetting; another area is another memory."""
    key = trigger().state_key

    assert trigger(poll_interval=60, lookback=3, start="2024-06-01").state_key == key
    for changed in (
        {"bbox": [14, 46, 14.1, 46.2]},
        {"max_cloud_cover": 10},
        {"filter": "eo:cloud_cover > 1"},
        {"reprocessed": "announce"},
        {"sentinelhub_conn_id": "other"},
        {"collection": "sentinel-2-l1c"},
    ):
        assert trigger(**changed).state_key != key


def test_json_may_come_as_text():
    """As Airflow gives it back."""
    assert trigger(filter=json.dumps(CQL2)).serialize() == trigger(filter=CQL2).serialize()


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"collection": "dem"}, "collection"),
        ({"collection": "sentinel-1-grd", "max_cloud_cover": 20}, "max_cloud_cover"),
        ({"max_cloud_cover": 120}, "max_cloud_cover"),
        ({"bbox": [14, 46, 13, 47]}, "bbox"),
        ({"intersects": TRIANGLE}, "intersects"),
        ({"bbox": None, "intersects": "POINT (200 10)"}, "intersects"),
        ({"filter": 5}, "filter"),
        ({"filter": "{no json"}, "filter"),
        ({"bbox": None, "intersects": "{no json"}, "intersects"),
        ({"start": "yesterday"}, "start"),
        ({"lookback": 0}, "lookback"),
        ({"reprocessed": "yes"}, "reprocessed"),
        ({"poll_interval": 5}, "poll_interval"),
        ({"poll_interval": "often"}, "poll_interval"),
    ],
)
def test_arguments_that_cannot_be_are_refused(changed, field):
    """When the DAG is parsed: the error names the argument."""
    with pytest.raises(SentinelHubRequestError) as caught:
        trigger(**changed)

    assert caught.value.field == field


def test_a_refusal_is_one_that_the_triggerer_survives():
    """The triggerer takes no other error of a constructor than a TypeError."""
    with pytest.raises(TypeError):
        trigger(poll_interval=0)
    assert issubclass(InvalidTriggerError, SentinelHubRequestError)
