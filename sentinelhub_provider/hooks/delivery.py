"""Credentials for the buckets of jobs, from Airflow connections. They are masked as they are read, and only sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook

from sentinelhub_provider.api.job_requests.delivery import Access
from sentinelhub_provider.connection import read_extra
from sentinelhub_provider.exceptions import SentinelHubConfigurationError
from sentinelhub_provider.hooks.airflow_side import mask, named_if_missing

# Start of the access key IDs that AWS issues for a session. They need a session token, which Sentinel Hub does not
# take.
TEMPORARY_KEY = "ASIA"
_KEYFILE_DICT = ("keyfile_dict", "extra__google_cloud_platform__keyfile_dict")
_KEYFILE_PATH = ("key_path", "keyfile_path", "extra__google_cloud_platform__key_path")


def access_of(
    conn_id: str | None,
    url: str,
    *,
    role_arn: str | None = None,
    region: str | None = None,
    field: str = "delivery_conn_id",
) -> Access | None:
    """Return how Sentinel Hub reaches a bucket, ``None`` if neither connection, role nor region is given.

    A connection of Amazon Web Services has the keys as login and password, or as ``aws_access_key_id`` and
    ``aws_secret_access_key`` in its extra, or a ``role_arn`` instead of keys. It can have a ``region_name``. A
    connection of Google Cloud has a service account's key as ``keyfile_dict``, or the path of a key file as
    ``key_path``.

    :param url: URL of the bucket. Its scheme decides what the connection must hold.
    :param role_arn: ARN of an IAM role for Sentinel Hub to assume, instead of the connection's keys.
    :param field: the argument that names the connection.
    :raises SentinelHubConfigurationError: if the connection lacks these values.
    """
    if role_arn is not None:
        return Access(role_arn=role_arn, region=region)
    if conn_id is None:
        return None if region is None or url.strip().startswith("gs://") else Access(region=region)
    with named_if_missing(conn_id, field=field):
        connection = BaseHook.get_connection(conn_id)
    extra = read_extra(connection)
    if url.strip().startswith("gs://"):
        return _google(conn_id, extra)
    return _amazon(conn_id, connection.login, connection.password, extra, region)


def _amazon(
    conn_id: str, login: str | None, password: str | None, extra: Mapping[str, Any], region: str | None
) -> Access:
    key = login or extra.get("aws_access_key_id") or None
    secret = password or extra.get("aws_secret_access_key") or None
    for value in filter(None, (key, secret)):
        mask(str(value))
    region = region or extra.get("region_name") or None
    role = extra.get("role_arn") or None
    if extra.get("aws_session_token") or str(key or "").startswith(TEMPORARY_KEY):
        mask(str(extra.get("aws_session_token") or key))
        raise _unusable(
            conn_id,
            "holds temporary keys (of a session), which Sentinel Hub cannot use. Give a connection with the lasting "
            "keys of a user who may only reach this bucket, or an IAM role",
        )
    if key is not None and role is not None:
        raise _unusable(
            conn_id,
            "holds keys and a role_arn. Sentinel Hub takes only one of them. Give a connection with one, or pass the "
            "role that Sentinel Hub may assume as an argument",
        )
    if key is None and secret is None and role is not None:
        return Access(role_arn=str(role), region=region)
    if key is None or secret is None:
        missing = "login (access key id)" if key is None else "password (secret access key)"
        raise _unusable(
            conn_id, f"has no {missing}. Sentinel Hub cannot use the credentials of the worker's own machine", "login"
        )
    return Access(access_key=str(key), secret_access_key=str(secret), region=region)


def _google(conn_id: str, extra: Mapping[str, Any]) -> Access:
    given = next((extra[name] for name in _KEYFILE_DICT if extra.get(name)), None)
    path = next((extra[name] for name in _KEYFILE_PATH if extra.get(name)), None)
    if given is None and path is not None:
        try:
            given = Path(str(path)).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            what = f"names the key file {path}, which cannot be read ({type(error).__name__})"
            raise _unusable(conn_id, what) from error
    if given is None:
        raise _unusable(conn_id, "has neither keyfile_dict nor key_path. Give the JSON key of a service account")
    try:
        account = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        account = None
    needed = ("type", "client_email", "private_key")
    if not isinstance(account, Mapping) or not all(map(account.get, needed)) or account["type"] != "service_account":
        what = "has a key that is not the JSON of a service account. It needs type, client_email and private_key"
        raise _unusable(conn_id, what)
    credentials = base64.b64encode(json.dumps(dict(account), separators=(",", ":")).encode()).decode()
    mask(str(account["private_key"]))
    mask(credentials)
    return Access(credentials=credentials)


def _unusable(conn_id: str, what: str, field: str = "extra") -> SentinelHubConfigurationError:
    return SentinelHubConfigurationError(f"Connection {conn_id!r} {what}.", field=field)
