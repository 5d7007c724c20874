"""Settings that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sentinelhub_provider.sandbox.settings import ClientSettings, SandboxSettings, is_loopback


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"port": 70000}, "port must be between"),
        ({"token_lifetime": 0}, "token_lifetime must be more than 0"),
        ({"requests_per_minute": 0}, "requests_per_minute must be more than 0"),
        ({"processing_units_per_minute": -1}, "processing_units_per_minute must be"),
        ({"latency": -1}, "latency must not be negative"),
        ({"client_secret": ""}, "client_id and client_secret must not be empty"),
        ({"account": "full"}, "account must be 'ok' or 'empty'"),
        ({"permissions": frozenset({"zarr"})}, "unknown APIs"),
        ({"scenes": Path("/nowhere/at/all")}, "scenes must be a folder"),
        ({"client_id": "a", "further_clients": (ClientSettings("a", "b"),)}, "client ids must differ"),
    ],
)
def test_settings_name_the_field_that_is_wrong(fields: dict[str, Any], message: str) -> None:
    """A mistake is told at once, by the field's name."""
    with pytest.raises(ValueError, match=message):
        SandboxSettings(**fields)


def test_secrets_stay_out_of_reprs() -> None:
    """Neither the settings nor a client show a secret."""
    settings = SandboxSettings(client_secret="hush", further_clients=(ClientSettings("b", "quiet"),))
    assert "hush" not in repr(settings)
    assert "quiet" not in repr(settings)
    assert "hush" not in repr(settings.clients())


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_loopback_is_recognized(host: str, expected: bool) -> None:
    """Only addresses of this machine count as loopback."""
    assert is_loopback(host) is expected
