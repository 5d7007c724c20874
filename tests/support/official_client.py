"""The official Python client, ``sentinelhub``, against a sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sentinelhub import DataCollection, SentinelHubDownloadClient, SHConfig


def configuration(sandbox: Any, monkeypatch: pytest.MonkeyPatch, folder: Path, **more: Any) -> SHConfig:
    """Return the client's configuration for a sandbox; ``folder``: for what it writes."""
    # oauthlib refuses tokens over plain http unless told so; only this client needs it.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.setattr(SentinelHubDownloadClient, "_CACHED_SESSIONS", {})
    return SHConfig(
        use_defaults=True,
        sh_client_id=sandbox.client_id,
        sh_client_secret=sandbox.client_secret,
        sh_base_url=sandbox.url,
        sh_token_url=sandbox.token_url() if callable(sandbox.token_url) else sandbox.token_url,
        **more,
    )


def at(url: str, collection: DataCollection) -> DataCollection:
    """Return a collection at another deployment, defined as the client's documentation says."""
    return collection.define_from(f"{collection.name}_{url}", service_url=url)
