"""The plugin reaches Airflow by an entry point."""

from __future__ import annotations

import json
import subprocess
import sys

from sentinelhub_provider.get_provider_info import get_provider_info

LOADED = """
import json
from airflow.plugins_manager import ensure_plugins_loaded, get_plugin_info
ensure_plugins_loaded()
print("PLUGINS", json.dumps([[plugin["name"], str(plugin["listeners"])] for plugin in get_plugin_info()]))
"""


def test_airflow_loads_the_plugin_with_its_listener():
    """In any process that loads plugins, and with Airflow's defaults, so also in the one that stores events."""
    answer = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    line = next(line for line in answer.stdout.splitlines() if line.startswith("PLUGINS "))
    plugins = dict(json.loads(line.removeprefix("PLUGINS ")))

    assert "SceneEventListener" in plugins["sentinelhub"]


def test_it_is_named_in_one_place():
    """Named twice, Airflow would warn in every process where providers' plugins are loaded too."""
    assert "plugins" not in get_provider_info()
