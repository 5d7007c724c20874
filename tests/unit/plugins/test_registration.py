"""The plugin reaches Airflow by way of the provider's information."""

from __future__ import annotations

from importlib import import_module

from sentinelhub_provider.get_provider_info import get_provider_info


def test_the_provider_names_its_plugin():
    """Every Airflow process loads it, so also the one that stores events."""
    [plugin] = get_provider_info()["plugins"]
    module, _, name = plugin["plugin-class"].rpartition(".")

    assert getattr(import_module(module), name).name == plugin["name"] == "sentinelhub"
