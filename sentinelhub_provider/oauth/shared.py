"""One client's encrypted entry in a shared store. A store that fails does not fail a task."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sentinelhub_provider.exceptions import SentinelHubAuthenticationError
from sentinelhub_provider.oauth.stores import Blob, StoreLock, TokenStore
from sentinelhub_provider.oauth.token import AccessToken

log = logging.getLogger(__name__)
STORE_PAUSE = 30.0  # seconds without calls to a store that failed, so that not every call waits for it
# Seconds during which a refused client is not tried again. 500 tasks with a wrong secret make one failed login.
REFUSAL_MEMORY = 60.0
_PURPOSE = b"airflow-provider-sentinelhub token store 1"
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused client. Its error is raised again without a request until a time by the store's clock."""

    error: SentinelHubAuthenticationError
    until: float

    def stands(self, now: float) -> bool:
        """Tell whether it still counts. It does not last longer if the clock was set back."""
        return 0 < self.until - now <= REFUSAL_MEMORY


Entry: TypeAlias = AccessToken | Refusal


def cipher(secret: str, key: str) -> Fernet:
    """Return the cipher for a client's entry at rest. Its key is derived from the client secret.

    Anybody who can decrypt the entry has the secret and could ask for a token anyway. Anybody who can read only the
    store cannot decrypt it. The client's key in the store is the salt, so an entry under one key cannot be decrypted
    under another.
    """
    material = HKDF(algorithm=SHA256(), length=32, salt=key.encode(), info=_PURPOSE).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(material))


class SharedEntry:
    """The facts that all processes know of one client, stored under the client's key."""

    def __init__(self, store: TokenStore, *, key: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._store, self._key, self._clock = store, key, clock
        self._cipher = cipher(secret, key)
        self._paused_until = 0.0
        self._failing: str | None = None
        self._unreadable = False

    def load(self) -> Entry | None:
        """Return the stored entry, ``None`` if there is no usable one."""
        blob = self._softly("read", lambda: self._store.read(self._key), None)
        if blob is None:
            return None
        entry: Entry | None = None
        with suppress(InvalidToken):  # encrypted with another key, or damaged
            entry = _entry_from(self._cipher.decrypt(blob.data), blob, self._clock())
        if entry is None and not self._unreadable:
            log.warning("the token store holds something that cannot be decrypted; it will be replaced")
        self._unreadable = entry is None
        return entry

    def save(self, entry: Entry) -> None:
        """Store an entry in place of the old one."""
        left = (entry.expires_at if isinstance(entry, AccessToken) else entry.until) - self._clock()
        if left > 0:
            encrypted = self._cipher.encrypt(_plain_from(entry))
            self._softly("write", lambda: self._store.write(self._key, encrypted, left), None)

    def lock(self) -> StoreLock:
        """Return the lock for fetching. If the store fails every caller gets it, as one fetch too many does no harm."""
        lock = self._softly("lock", lambda: self._store.lock(self._key), None)
        if lock is None:
            return StoreLock(lambda _: True)
        return StoreLock(
            lambda patience: self._softly("lock", lambda: lock.acquire(patience), True),
            # The lock is released even if writing has just failed, because other processes wait for it.
            lambda: self._softly("unlock", lock.release, None, even_paused=True),
        )

    def _softly(
        self, what: str, act: Callable[[], _Result], otherwise: _Result, *, even_paused: bool = False
    ) -> _Result:
        """Call the store. If it fails, warn once and pause the calls for a while."""
        if 0 < self._paused_until - self._clock() <= STORE_PAUSE and not even_paused:
            return otherwise
        try:
            result = act()
        except Exception as error:  # a store's back end may raise anything
            self._paused_until = self._clock() + STORE_PAUSE
            # The error's own text may hold a Redis URL with its password.
            level = logging.DEBUG if self._failing else logging.WARNING
            log.log(level, "cannot %s the token store (%s); going on without it", what, type(error).__name__)
            self._failing = self._failing or what
            return otherwise
        if self._failing == what:  # reading a full store works all the while
            log.info("the token store works again")
            self._failing = None
        return result


def _plain_from(entry: Entry) -> bytes:
    if isinstance(entry, AccessToken):
        document: dict[str, Any] = {
            "token": entry.value,
            "expires_at": entry.expires_at,
            "lifetime": entry.lifetime,
            "scope": entry.scope,
        }
    else:
        document = {"refused": str(entry.error), "until": entry.until, "about": entry.error.about}
    return json.dumps(document).encode()


def _entry_from(plain: bytes, blob: Blob, now: float) -> Entry | None:
    """Read an entry back. Trust another host's clock no further than needed."""
    try:
        document = json.loads(plain)
        if "token" in document:
            lifetime = float(document["lifetime"])
            left = float(document["expires_at"]) - now if blob.seconds_left is None else blob.seconds_left
            # A token never outlives its lifetime, whatever the writer's clock said.
            return AccessToken(document["token"], now + min(left, lifetime), lifetime, document["scope"])
        until = float(document["until"]) if blob.seconds_left is None else now + blob.seconds_left
        return Refusal(SentinelHubAuthenticationError(document["refused"], **document["about"]), until)
    except (ValueError, KeyError, TypeError):
        return None
