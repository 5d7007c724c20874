"""What all triggers have in common: no argument ends the triggerer, and each is made anew from what is stored of it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from sentinelhub_provider.get_provider_info import get_provider_info
from sentinelhub_provider.triggers.byoc import SentinelHubByocTilesTrigger
from sentinelhub_provider.triggers.catalog import SentinelHubSceneCountTrigger
from sentinelhub_provider.triggers.job import SentinelHubJobTrigger
from sentinelhub_provider.triggers.scene import SentinelHubSceneTrigger

GOOD: dict[type[BaseTrigger], dict[str, Any]] = {
    SentinelHubByocTilesTrigger: {
        "collection_id": "c",
        "tile_ids": ["1"],
        "submitted": {"result": {}},
        "waits_until": 1.5,
        "poll_interval": 30,
        "timeout": 60,
        "deadline": None,
        "sentinelhub_conn_id": "mine",
    },
    SentinelHubJobTrigger: {
        "kind": "batch-process",
        "job_id": "7f1c",
        "end_time": 1.5,
        "sentinelhub_conn_id": "mine",
        "poll_interval": 12,
        "stop_on_kill": False,
        "tell_progress": False,
    },
    SentinelHubSceneCountTrigger: {
        "body": {"collections": ["sentinel-2-l2a"], "intersects": {"type": "Point", "coordinates": [14, 46]}},
        "min_scenes": 2,
        "waits_until": 1.5,
        "poll_interval": 30,
        "exponential_backoff": True,
        "max_wait": 500,
        "sentinelhub_conn_id": "mine",
    },
    SentinelHubSceneTrigger: {
        "collection": "sentinel-2-l2a",
        "bbox": [14, 46, 14.1, 46.1],
        "intersects": None,
        "max_cloud_cover": 30,
        "filter": "eo:cloud_cover > 1",
        "start": "2024-06-01",
        "lookback": 3,
        "reprocessed": "announce",
        "poll_interval": 60,
        "sentinelhub_conn_id": "mine",
    },
}
TEXTS: list[Any] = ["", "{", "text", "{}", b"x"]
NUMBERS: list[Any] = [-1, 0, 10**400, float("nan"), True]
OTHERS: list[Any] = [None, [], [1], {}, {"a": {}}, object()]
KINDS = pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.__name__)


def test_the_table_has_all_triggers():
    """None is left out of the tests below."""
    modules = {name for each in get_provider_info()["triggers"] for name in each["python-modules"]}
    assert {kind.__module__ for kind in GOOD} == modules


@KINDS
def test_no_argument_ends_the_triggerer(kind):
    """It takes no other error of a constructor than a TypeError; whatever is missing, odd or unknown."""
    changes = [{name: odd} for name in GOOD[kind] for odd in (*TEXTS, *NUMBERS, *OTHERS)] + [{"unknown": 1}]
    for arguments in [*({**GOOD[kind], **change} for change in changes), {}]:
        with suppress(TypeError):
            kind(**arguments)


@KINDS
def test_a_trigger_survives_the_database(kind):
    """It is made anew from JSON in another process, and stored alike."""
    path, stored = kind(**GOOD[kind]).serialize()
    again = kind(**json.loads(json.dumps(stored)))

    assert path == f"{kind.__module__}.{kind.__qualname__}"
    assert stored.keys() == GOOD[kind].keys()
    assert again.serialize() == (path, stored)
