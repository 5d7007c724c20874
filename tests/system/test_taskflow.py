"""Every supported Airflow offers ``@task.sentinelhub``, and maps it like its own decorators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from environment import sentinel_hub

if TYPE_CHECKING:
    from installed import Installed

pytestmark = pytest.mark.system


def test_decorator_is_offered_mapped_and_executed(installed: Installed, tmp_path: Path):
    """``override``, ``partial`` and ``expand`` work, and the function's pictures are stored."""
    with sentinel_hub() as service:
        probe = Path(__file__).with_name("taskflow_probe.py")
        answer = installed.run("python", probe, tmp_path, **service.environment)
    found = json.loads(answer.stdout.rpartition("RESULT ")[2])

    assert found["kind"] == "@task.sentinelhub"
    assert found["retries"] == 2
    assert [Path(path).name for path in found["paths"]] == ["lake-2025-06-30.png", "town-2025-06-30.png"]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in found["paths"])
