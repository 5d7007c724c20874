"""No secret and no token in a log, an error or a repr: searched for in everything that a run leaves behind."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from airflow.sdk import Connection

from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.get_provider_info import CONN_FIELDS
from sentinelhub_provider.hooks.delivery import access_of
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.sandbox.gateway.faults.model import TOKEN_PATHS

SECRET = "./*& +ü%-a-very-secret-secret"
LOGGERS = ("", "urllib3", "oauthlib", "requests_oauthlib", "httpx", "httpcore", "airflow", "sentinelhub_provider")


class Collector(logging.Handler):
    """Keeps everything that is logged, arguments and tracebacks included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record, formatted and raw."""
        if not record.name.startswith("sentinelhub_provider.sandbox"):  # the other side
            self.lines.append(f"{self.format(record)} {record.msg!r} {record.args!r}")


@pytest.fixture(name="logged")
def fixture_logged(monkeypatch: pytest.MonkeyPatch):
    """Everything that is logged anywhere at any level."""
    collector = Collector()
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(collector)
    yield collector.lines
    logging.getLogger().removeHandler(collector)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True)
def fixture_secret(sentinelhub_sandbox):
    """Give the client a secret that is written differently in each encoding."""
    sentinelhub_sandbox.control.update_client(sentinelhub_sandbox.client_id, client_secret=SECRET)


def forms_of(client_id: str, secret: str) -> set[str]:
    """Return all ways in which a secret may be written on its way."""
    pairs = [f"{client_id}:{secret}", f"{quote_plus(client_id)}:{quote_plus(secret)}"]
    encoded = {base64.b64encode(pair.encode()).decode() for pair in pairs}
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1], *encoded}


@pytest.mark.parametrize("client_auth", ["client_secret_post", "client_secret_basic"])
def test_nothing_that_is_left_behind_holds_a_secret(
    make_caller, sentinelhub_sandbox, logged, capfd: pytest.CaptureFixture[str], tmp_path: Path, client_auth: str
):
    """Good calls and every kind of bad one, logged at DEBUG by all libraries."""
    control = sentinelhub_sandbox.control
    extra = {"client_auth": client_auth, "deployment": "sentinel-hub"}
    left: list[str] = []
    tokens: set[str] = set()

    def attempt(caller, endpoint: str = "/catalog/v1/collections", **kwargs) -> None:
        try:
            left.append(repr(caller.request("GET", endpoint, **kwargs)))
        except SentinelHubError as error:
            left.append("".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)))
        left.append(repr(caller.hook) + repr(caller.hook.settings) + repr(caller.hook.get_conn()))
        left.append(repr(caller.hook.get_conn()._broker) + repr(vars(caller.hook.get_conn()._broker)))
        tokens.update(control.tokens())

    caller = make_caller(password=SECRET, extra=extra)
    attempt(caller)
    attempt(caller, "/nothing/here")
    attempt(caller, "https://elsewhere.example/")
    attempt(caller, headers={"X": "a\nb"})
    for action in (
        {"kind": "status", "status": 403},
        {"kind": "status", "status": 401},
        {"kind": "html"},
        {"kind": "reset"},
        {"kind": "redirect", "location": "https://elsewhere.example/"},
        {"kind": "rate_limit", "retry_after": "1000"},
    ):
        control.add_fault(path="/catalog/*", times=2, action=action)
        attempt(caller)
        control.clear_faults()
    for action in ({"kind": "html"}, {"kind": "token_answer", "variant": "other_token_type"}, {"kind": "reset"}):
        control.revoke_tokens()
        control.add_fault(path=TOKEN_PATHS, times=3, action=action)
        attempt(caller)
        control.clear_faults()
    left.append(repr(caller.hook.token_info()) + repr(caller.hook.test_connection()))
    attempt(make_caller(password=f"{SECRET}-wrong", extra=extra))
    output = capfd.readouterr()
    left += [*logged, output.out, output.err]

    assert tokens
    assert any("urllib3" in line or "httpcore" in line for line in logged), "the libraries were not listened to"
    everything = "\n".join(left)
    for form in forms_of(sentinelhub_sandbox.client_id, SECRET) | tokens:
        assert form not in everything
    assert not any(token.split(".")[2] in everything for token in tokens), "a token's signature"


@pytest.fixture(name="warned")
def fixture_warned(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """Tell whether Airflow has warned of a secret that is too short to mask, which it does once in a process."""
    from airflow.sdk._shared.secrets_masker import secrets_masker

    monkeypatch.setattr(secrets_masker.SecretsMasker, "_has_warned_short_secret", False, raising=False)
    yield lambda: "too short" in caplog.text
    secrets_masker.mask_secret({"x": "y"})
    assert "too short" in caplog.text, "this Airflow words its warning otherwise"


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda: SentinelHubHook("sh").settings, id="task"),
        pytest.param(lambda: asyncio.run(SentinelHubHook("sh").asettings()), id="trigger"),
        pytest.param(lambda: access_of("bucket", "s3://results/x"), id="bucket"),
    ],
)
def test_short_value_in_an_extra_makes_no_warning(read, warned, monkeypatch: pytest.MonkeyPatch):
    """It is no secret: nothing here hands it to Airflow's masker, whichever way the connection came."""
    client: dict[str, Any] = {"login": "the-client-id", "password": "the-client-secret"}
    extras = {
        "sh": ("sentinelhub", {"timeout": "30", "scope": "SH", "verify": "no", "auth_cache": "redis"}),
        "redis": ("redis", {"db": "1", "ssl": "no"}),
        "bucket": ("aws", {"region_name": "eu", "x": "y"}),
    }
    connections = {
        name: Connection(conn_id=name, conn_type=kind, host="localhost", extra=json.dumps(extra), **client)
        for name, (kind, extra) in extras.items()
    }

    async def aget(conn_id: str) -> Connection:
        return connections[conn_id]

    monkeypatch.setattr("airflow.sdk.BaseHook.get_connection", staticmethod(connections.__getitem__))
    monkeypatch.setattr("airflow.sdk.BaseHook.aget_connection", staticmethod(aget), raising=False)
    read()

    assert not warned()


def test_untouched_form_saves_no_value_that_airflow_warns_of(warned):
    """Airflow hands what is in the extra to its masker by itself."""
    from airflow.sdk._shared.secrets_masker import secrets_masker

    saved = {name: field["schema"]["default"] for name, field in CONN_FIELDS.items() if "default" in field["schema"]}
    secrets_masker.mask_secret(saved)

    assert saved["deployment"]
    assert not warned()
