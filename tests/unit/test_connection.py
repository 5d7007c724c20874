"""An Airflow connection becomes settings, in whichever shape it arrives; what cannot work is refused by field."""

from __future__ import annotations

import json
import logging
import traceback
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from airflow.sdk import Connection

from sentinelhub_provider.connection import (
    ClientAuth,
    ConnectionSettings,
    _warn_of_unknown,
    settings_from_connection,
)
from sentinelhub_provider.deployments import DEPLOYMENTS, PathScheme
from sentinelhub_provider.exceptions import SentinelHubConfigurationError

SECRET = "s3cr3t ./*& +ü%"
MAIN_AUTH_URL = "https://services.sentinel-hub.com/auth/realms/main/protocol/openid-connect/token"

FORM_EXTRA = {
    "deployment": "copernicus-data-space",
    "auth_url": None,
    "client_auth": "client_secret_basic",
    "scope": None,
    "path_scheme": None,
    "auth_cache": "memory",
    "requests_per_minute": 300,
    "processing_units_per_minute": None,
    "timeout": 45,
    "verify": False,
    "allowed_hosts": ["data.example.org", "data.example.org:8443"],
}
TEXT_EXTRA = {
    "deployment": "copernicus-data-space",
    "client_auth": "client_secret_basic",
    "auth_cache": "memory",
    "requests_per_minute": "300",
    "timeout": "45",
    "verify": "false",
    "allowed_hosts": "data.example.org, data.example.org:8443",
}


def settings(
    *, login: str | None = "client", password: str | None = SECRET, extra: dict[str, Any] | None = None, **fields: Any
) -> ConnectionSettings:
    """Read a connection made of these fields."""
    text = json.dumps(extra) if extra is not None else None
    return settings_from_connection(
        Connection(conn_id="sh", conn_type="sentinelhub", login=login, password=password, extra=text, **fields)
    )


def read(connection: Connection) -> ConnectionSettings:
    """Read a connection as a hook would."""
    return settings_from_connection(connection)


# --- shapes ----------------------------------------------------------------------------------------------------------


def _as_form() -> Connection:
    return Connection(
        conn_id="sh",
        conn_type="sentinelhub",
        login="client",
        password=SECRET,
        host="",
        schema="",
        extra=json.dumps(FORM_EXTRA),
    )


def _as_json() -> Connection:
    document = {"conn_type": "sentinelhub", "login": "client", "password": SECRET, "extra": FORM_EXTRA}
    return Connection.from_json(json.dumps(document), conn_id="sh")


def _as_json_with_text() -> Connection:
    document = {"conn_type": "sentinelhub", "login": "client", "password": SECRET, "extra": json.dumps(TEXT_EXTRA)}
    return Connection.from_json(json.dumps(document), conn_id="sh")


def _as_uri() -> Connection:
    uri = f"sentinelhub://client:{quote(SECRET, safe='')}@/?{urlencode(TEXT_EXTRA)}"
    return Connection.from_uri(uri, conn_id="sh")


def _as_uri_of_airflow() -> Connection:
    return Connection.from_uri(_as_form().get_uri(), conn_id="sh")


def _as_command_line() -> Connection:
    """What ``airflow connections add sh --conn-type ... --conn-extra ...`` stores."""
    from airflow.models.connection import Connection as StoredConnection

    return StoredConnection(
        conn_id="sh", conn_type="sentinelhub", login="client", password=SECRET, extra=json.dumps(TEXT_EXTRA)
    )


@pytest.mark.parametrize(
    "shape",
    [_as_form, _as_json, _as_json_with_text, _as_uri, _as_uri_of_airflow, _as_command_line],
    ids=lambda shape: shape.__name__.removeprefix("_as_"),
)
def test_every_shape_gives_the_same_settings(shape):
    """Form, JSON, URI and command line differ in types and nulls, and mean the same."""
    assert read(shape()) == ConnectionSettings(
        conn_id="sh",
        client_id="client",
        client_secret=SECRET,
        deployment=DEPLOYMENTS["copernicus-data-space"],
        base_url="https://sh.dataspace.copernicus.eu",
        auth_url="https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
        client_auth=ClientAuth.SECRET_BASIC,
        auth_cache="memory",
        requests_per_minute=300.0,
        timeout=45.0,
        verify=False,
        allowed_hosts=("data.example.org", "data.example.org:8443"),
    )


def test_id_and_secret_are_enough():
    """The default deployment needs no URL, no choice and no number."""
    result = settings()

    assert (result.base_url, result.auth_url) == ("https://services.sentinel-hub.com", MAIN_AUTH_URL)
    assert result.token_info_url == "https://services.sentinel-hub.com/oauth/tokeninfo"
    assert (result.client_auth, result.path_scheme) == (ClientAuth.SECRET_POST, PathScheme.CURRENT)
    assert (result.auth_cache, result.timeout, result.verify, result.allowed_hosts) == ("file", 120.0, True, ())


@pytest.mark.parametrize("name", [name for name in DEPLOYMENTS if name != "custom"])
def test_choosing_a_deployment_is_enough(name: str):
    """A preset brings its own base URL and token endpoint."""
    result = settings(extra={"deployment": name})

    assert (result.base_url, result.auth_url) == (DEPLOYMENTS[name].base_url, DEPLOYMENTS[name].auth_url)


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        pytest.param("sentinelhub://i:s@sh.example.org", "https://sh.example.org", id="host"),
        pytest.param("sentinelhub://i:s@sh.example.org:8443", "https://sh.example.org:8443", id="host-and-port"),
        pytest.param("sentinelhub://i:s@localhost:9080/http", "http://localhost:9080", id="scheme-as-path"),
        pytest.param("sentinelhub://http://i:s@localhost:9080", "http://localhost:9080", id="scheme-in-front"),
        pytest.param(
            f"sentinelhub://i:s@{quote('http://127.0.0.1:9080/', safe='')}/", "http://127.0.0.1:9080", id="quoted-url"
        ),
        pytest.param(
            f"sentinelhub://i:s@{quote('https://gate.example.org/sh', safe='')}/",
            "https://gate.example.org/sh",
            id="url-with-path",
        ),
        pytest.param("sentinelhub://i:s@[::1]:9080/http", "http://[::1]:9080", id="ipv6"),
    ],
)
def test_base_url_from_a_uri(uri: str, base_url: str):
    """A URI spreads the base URL over host, port and path in several ways; all are put together again."""
    assert read(Connection.from_uri(uri, conn_id="sh")).base_url == base_url


def test_custom_deployment_takes_its_urls():
    """``custom`` brings nothing of its own."""
    result = settings(
        host="https://sh.example.org/", extra={"deployment": "custom", "auth_url": "https://id.example.org/token"}
    )

    assert (result.base_url, result.auth_url) == ("https://sh.example.org", "https://id.example.org/token")
    assert result.token_info_url is None


@pytest.mark.parametrize("host", ["http://localhost:9080", "http://127.0.0.1", "http://127.1.2.3:1", "http://[::1]:1"])
def test_plain_http_to_this_machine_is_allowed(host: str):
    """What does not leave the machine needs no encryption."""
    assert settings(host=host).base_url == host


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, True),
        ("True", True),
        ("1", True),
        (1, True),
        (0, False),
        ("no", False),
        (None, True),
        ("", True),
        ("/etc/ssl/corp.pem", "/etc/ssl/corp.pem"),
        ("corp.crt", "corp.crt"),
    ],
)
def test_verify_takes_a_switch_or_a_ca_bundle(given: object, expected: object):
    """A switch arrives as a boolean, a number or a word; a path names a bundle."""
    assert settings(extra={"verify": given}).verify == expected


@pytest.mark.parametrize("value", ["redis://user:pw@cache:6379/0", "rediss://cache"])
def test_redis_url_is_an_auth_cache(value: str):
    """A Redis URL is kept as it is, and not shown."""
    result = settings(extra={"auth_cache": value})

    assert result.auth_cache == value
    assert value not in repr(result)


def test_client_id_is_stripped():
    """A client ID never has white space around it."""
    assert settings(login=" client\n").client_id == "client"


def test_repr_shows_no_secret():
    """Settings end up in error messages and debuggers."""
    assert SECRET not in repr(settings())
    assert SECRET not in str(settings())


# --- refusals --------------------------------------------------------------------------------------------------------

REFUSALS = [
    pytest.param({"login": None}, "login", "Register an OAuth client", id="no-id"),
    pytest.param({"login": "  "}, "login", "is empty", id="blank-id"),
    pytest.param({"password": None}, "password", "create a new client", id="no-secret"),
    pytest.param({"password": "   "}, "password", "is empty", id="blank-secret"),
    pytest.param({"password": f"{SECRET}\n"}, "password", "white space", id="secret-with-newline"),
    pytest.param(
        {"extra": {"deployment": "sentinelhub"}}, "deployment", "Did you mean 'sentinel-hub'", id="deployment"
    ),
    pytest.param({"extra": {"deployment": "zzz"}}, "deployment", "Choose one of: sentinel-hub", id="no-suggestion"),
    pytest.param({"extra": {"deployment": 3}}, "deployment", "expected text, got int", id="deployment-number"),
    pytest.param({"extra": {"deployment": "custom"}}, "host", "needs the base URL", id="custom-without-host"),
    pytest.param(
        {"host": "https://a.example", "extra": {"deployment": "custom"}}, "auth_url", "token endpoint", id="no-auth-url"
    ),
    pytest.param({"host": "http://sh.example.org"}, "host", "unencrypted", id="http"),
    pytest.param({"host": "sh.example.org", "schema": "http"}, "host", "unencrypted", id="http-by-schema"),
    pytest.param({"host": "http://localhost.example.org"}, "host", "Use https://", id="not-quite-localhost"),
    pytest.param({"host": "sh.example.org", "schema": "ftp"}, "schema", "'ftp'", id="schema"),
    pytest.param({"host": "ftp://sh.example.org"}, "host", "https://", id="ftp"),
    pytest.param({"host": "https://"}, "host", "not a URL", id="no-host-in-url"),
    pytest.param({"host": "https://a b.example"}, "host", "not a URL", id="space-in-url"),
    pytest.param({"host": "https://evil.example\\@sh.example.org"}, "host", "user name", id="backslash"),
    pytest.param({"host": "https://sh.example.org:99999"}, "host", "not a URL", id="port-out-of-range"),
    pytest.param({"host": "https://[::1"}, "host", "not a URL", id="broken-ipv6"),
    pytest.param({"host": "https://sh.example.org/?a=b"}, "host", "query", id="host-with-query"),
    pytest.param({"host": f"https://me:{quote(SECRET)}@sh.example.org"}, "host", "Enter it without", id="userinfo"),
    pytest.param({"extra": {"auth_url": "http://id.example.org/token"}}, "auth_url", "unencrypted", id="auth-http"),
    pytest.param({"extra": {"auth_url": "id.example.org"}}, "auth_url", "starts with https://", id="auth-no-scheme"),
    pytest.param({"extra": {"auth_url": f"me:{SECRET}@x/token"}}, "auth_url", "Enter it without", id="auth-userinfo"),
    pytest.param({"extra": {"client_auth": "basic"}}, "client_auth", "client_secret_basic", id="client-auth"),
    pytest.param({"extra": {"path_scheme": "new"}}, "path_scheme", "current, legacy", id="path-scheme"),
    pytest.param({"extra": {"auth_cache": "files"}}, "auth_cache", "file, memory or variable", id="auth-cache"),
    pytest.param({"extra": {"auth_cache": "memroy"}}, "auth_cache", "file, memory or variable", id="auth-cache-typo"),
    pytest.param({"extra": {"auth_cache": "my cache"}}, "auth_cache", "type Redis", id="auth-cache-no-id"),
    pytest.param({"extra": {"auth_cache": "redis://[::1:6379/0"}}, "auth_cache", "%XX", id="auth-cache-no-bracket"),
    pytest.param({"extra": {"auth_cache": "redis://u:pa/ss@h:6379/0"}}, "auth_cache", "%XX", id="auth-cache-no-port"),
    pytest.param({"login": 1.5}, "login", "expected text, got float", id="login-fraction"),
    pytest.param({"login": True}, "login", "expected text, got bool", id="login-boolean"),
    pytest.param({"password": [SECRET]}, "password", "expected text, got list", id="secret-list"),
    pytest.param({"extra": {"scope": 1.5}}, "scope", "expected text, got float", id="scope-fraction"),
    pytest.param(
        {"host": "sh.dataspace.copernicus.eu", "extra": {"deployment": "creodias"}},
        *("host", "belongs to deployment 'copernicus-data-space'"),
        id="host-of-another-deployment",
    ),
    pytest.param({"extra": {"auth_cache": f"redis//:{SECRET}@h"}}, "auth_cache", "redis://host", id="mistyped-redis"),
    pytest.param({"extra": {"timeout": "soon"}}, "timeout", "'soon'", id="timeout-word"),
    pytest.param({"extra": {"timeout": 0}}, "timeout", "greater than 0", id="timeout-zero"),
    pytest.param({"extra": {"timeout": True}}, "timeout", "number", id="timeout-boolean"),
    pytest.param({"extra": {"timeout": float("inf")}}, "timeout", "number", id="timeout-infinite"),
    pytest.param({"extra": {"timeout": 10**400}}, "timeout", "number", id="timeout-beyond-any-float"),
    pytest.param({"host": "sh.example.org", "schema": 1.5}, "schema", "expected text, got float", id="schema-fraction"),
    pytest.param({"extra": {"timeout": [1]}}, "timeout", "number", id="timeout-list"),
    pytest.param({"extra": {"requests_per_minute": -1}}, "requests_per_minute", "-1", id="rate"),
    pytest.param({"extra": {"processing_units_per_minute": "x"}}, "processing_units_per_minute", "'x'", id="pu-rate"),
    pytest.param({"extra": {"verify": "perhaps"}}, "verify", "CA bundle", id="verify"),
    pytest.param({"extra": {"allowed_hosts": ["https://a.example"]}}, "allowed_hosts", "without https://", id="url"),
    pytest.param({"extra": {"allowed_hosts": "*.example.org"}}, "allowed_hosts", "wildcards", id="wildcard"),
    pytest.param({"extra": {"allowed_hosts": 7}}, "allowed_hosts", "list of host names", id="hosts-number"),
    pytest.param({"extra": {"allowed_hosts": [7]}}, "allowed_hosts", "list of host names", id="hosts-of-numbers"),
]


@pytest.mark.parametrize(("fields", "field", "advice"), REFUSALS)
def test_what_cannot_work_is_refused_by_field(fields: dict[str, Any], field: str, advice: str):
    """The error names connection and field, says what to do, and shows no secret."""
    with pytest.raises(SentinelHubConfigurationError) as refusal:
        settings(**fields)

    assert refusal.value.field == field
    assert refusal.value.final
    assert str(refusal.value).startswith(f"Connection 'sh', field '{field}': ")
    assert advice in str(refusal.value)
    shown = "".join(traceback.format_exception(refusal.value))
    assert SECRET not in shown
    assert quote(SECRET) not in shown


@pytest.mark.parametrize(
    "extra",
    ["deployment=copernicus-data-space", "[]", "7", '"text"', "{'deployment': 'creodias'}", "{", "null", "[{}]"],
)
def test_extra_that_is_no_json_object_is_refused(extra: str):
    """Airflow takes it for an empty one, and the secret would go to the default deployment."""
    connection = Connection(conn_id="sh", conn_type="sentinelhub", login="client", password=SECRET, extra=extra)
    with pytest.raises(SentinelHubConfigurationError, match="field 'extra': it is not a JSON object") as refusal:
        settings_from_connection(connection)

    assert refusal.value.field == "extra"


@pytest.mark.parametrize("extra", [None, "", " ", "{}", '"{\\"timeout\\": 7}"'])
def test_extra_may_be_empty_or_encoded_twice(extra: str | None):
    """Some tools write a JSON object as a JSON text."""
    connection = Connection(conn_id="sh", conn_type="sentinelhub", login="client", password=SECRET, extra=extra)

    assert settings_from_connection(connection).timeout == (7 if extra and "timeout" in extra else 120)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("deploymnet", "Did you mean 'deployment'?"),
        ("Timeout", "Did you mean 'timeout'?"),
        ("zzz", "Known names:"),
    ],
)
def test_unknown_member_of_the_extra_is_warned_of_once(caplog: pytest.LogCaptureFixture, name: str, hint: str):
    """With the nearest name, and without its value, which may be a secret."""
    _warn_of_unknown.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            settings(extra={name: SECRET})

    (record,) = caplog.records
    assert f"the extra's '{name}' is unknown" in record.getMessage()
    assert hint in record.getMessage()
    assert SECRET not in caplog.text


@pytest.mark.parametrize("name", [name for name in DEPLOYMENTS if name != "custom"])
@pytest.mark.parametrize("extra", [{}, {"deployment": "sentinel-hub"}], ids=["unsaid", "default-of-the-form"])
def test_known_host_chooses_its_deployment(name: str, extra: dict[str, Any]):
    """The secret goes to the token endpoint that belongs to it."""
    known = DEPLOYMENTS[name]
    for host in (known.base_url, known.base_url.removeprefix("https://").upper(), f"{known.base_url}:443/"):
        assert settings(host=host, extra=extra).deployment.auth_url == known.auth_url
        assert settings(host=host, extra=extra).auth_url == known.auth_url


def test_auth_url_is_taken_to_the_letter():
    """Some token endpoints answer 404 without their trailing slash."""
    url = "https://id.example.org/oauth2/token/"

    assert settings(host="https://sh.example.org/", extra={"auth_url": url}).auth_url == url


def test_whole_numbers_are_text():
    """YAML and JSON written by hand have them without quotes."""
    result = settings(login=4711, password=815, extra={"scope": 7})  # type: ignore[arg-type]

    assert (result.client_id, result.client_secret, result.scope) == ("4711", "815", "7")


@pytest.mark.parametrize(
    "hosts", ["a.example.org\n", "a.example.org,\n", ["a.example.org", "", " "], "\na.example.org"]
)
def test_empty_allowed_hosts_are_skipped(hosts: object):
    """A line break behind the last one is no host."""
    assert settings(extra={"allowed_hosts": hosts}).allowed_hosts == ("a.example.org",)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "cache"}, "redis://cache:6379/0"),
        ({"host": "::1", "port": 7, "extra": '{"db": 3}'}, "redis://[::1]:7/3"),
        ({"host": "c", "login": "me@x", "password": "p/w", "extra": '{"ssl": true}'}, "rediss://me%40x:p%2Fw@c:6379/0"),
        ({"host": "c", "password": "p/w"}, "redis://:p%2Fw@c:6379/0"),
    ],
)
def test_auth_cache_names_a_redis_connection(fields: dict[str, Any], url: str):
    """Its password is in no extra, and is known to be masked."""
    named = settings(extra={"auth_cache": "redis_default"})
    assert (named.cache_conn_id, named.cache_password) == ("redis_default", None)
    resolved = named.with_cache(Connection(conn_id="redis_default", conn_type="redis", **fields))

    assert (resolved.auth_cache, resolved.cache_conn_id) == (url, None)
    assert resolved.cache_password == fields.get("password")
    assert "p%2Fw" not in repr(resolved)


@pytest.mark.parametrize("value", ["file", "memory", "variable", "redis://h", "file:///folder"])
def test_other_caches_name_no_connection(value: str):
    """What is a kind or a URL is no ID."""
    assert settings(extra={"auth_cache": value}).cache_conn_id is None


@pytest.mark.parametrize("name", ["login", "password", "host"])
def test_redis_connection_of_numbers_is_read(name: str):
    """JSON from a secrets backend knows numbers; anything else is refused by name, not shown."""
    connection = SimpleNamespace(conn_id="r", login=None, password=None, host="r.example", port=None, extra=None)
    setattr(connection, name, 12345)
    assert "12345" in settings(extra={"auth_cache": "r"}).with_cache(connection).auth_cache
    setattr(connection, name, ["hunter2"])
    with pytest.raises(SentinelHubConfigurationError, match=f"Connection 'r', field '{name}': expected text") as error:
        settings(extra={"auth_cache": "r"}).with_cache(connection)
    assert "hunter2" not in str(error.value)


def test_redis_connection_without_a_host_is_refused():
    """The error is about the field that names it."""
    with pytest.raises(SentinelHubConfigurationError, match="'redis_default' names no host") as refusal:
        settings(extra={"auth_cache": "redis_default"}).with_cache(Connection(conn_id="redis_default"))

    assert refusal.value.field == "auth_cache"


@pytest.mark.parametrize("conn_type", ["sentinelhub", "generic", ""])
def test_a_connection_of_no_other_system_is_taken(conn_type: str):
    """Where the package is not installed, Airflow's form offers no type of its own."""
    connection = Connection(conn_id="sh", conn_type=conn_type, login="client", password=SECRET)

    assert settings_from_connection(connection).client_id == "client"


def test_a_connection_of_another_system_is_refused():
    """Its password goes to no token endpoint."""
    connection = Connection(conn_id="sh", conn_type="postgres", login="me", password=SECRET)

    with pytest.raises(SentinelHubConfigurationError, match="it is of type 'postgres'") as raised:
        settings_from_connection(connection)
    assert (raised.value.field, SECRET in str(raised.value)) == ("conn_type", False)
