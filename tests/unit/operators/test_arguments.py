"""What operators share: here, the features of a task."""

from __future__ import annotations

import gc
import json
from types import SimpleNamespace

import pytest
from jinja2 import Environment

from sentinelhub_provider.operators.arguments import _others_freeze, features_of


@pytest.mark.parametrize("others", [0, 1])
def test_the_garbage_collector_rests_while_features_are_read(others: int, tmp_path):
    """What was frozen by others before, such as an executor that forks, stays so."""
    path = tmp_path / "fields.geojson"
    point = {"type": "Point", "coordinates": [0, 0]}
    path.write_text(json.dumps({"type": "Feature", "geometry": point, "properties": {}}))
    _others_freeze.cache_clear()
    gc.unfreeze()
    if others:
        gc.freeze()

    with features_of(SimpleNamespace(features=str(path), id_property=None, layer=None, get_template_env=Environment)):
        assert gc.get_freeze_count() > 0

    is_frozen = bool(gc.get_freeze_count())
    _others_freeze.cache_clear()
    gc.freeze()  # as the tests began, so that the others stay fast
    assert is_frozen == bool(others)
