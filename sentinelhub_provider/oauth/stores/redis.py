"""Keeps tokens in Redis or Valkey, which all hosts share."""

from __future__ import annotations

import contextlib
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubConfigurationError
from sentinelhub_provider.oauth.stores import Blob, StoreLock

try:
    import redis
except ImportError as error:
    raise SentinelHubConfigurationError(
        "Field 'auth_cache': tokens in Redis need the redis package. "
        "Install airflow-provider-sentinelhub[redis], or choose another auth_cache.",
        field="auth_cache",
    ) from error

ANSWER_TIMEOUT = 2.0  # seconds that Redis may take to answer, because a token request is faster than a slow Redis
# Seconds after which a lock frees itself. A fleet waits for so long if the holder died.
# A token request takes a second or two. One that takes longer may be doubled, which does no harm.
LOCK_LIFETIME = 20.0


def redis_client(url: str) -> Any:
    """Return a client with short time-outs. It connects when it is first used."""
    return redis.Redis.from_url(url, socket_timeout=ANSWER_TIMEOUT, socket_connect_timeout=ANSWER_TIMEOUT)


class RedisStore:
    """One value for each key. Its time to live is the token's lifetime. ``prefix`` starts the names of its keys."""

    def __init__(self, url: str, prefix: str = "sentinelhub") -> None:
        self._client = redis_client(url)
        self._prefix = prefix

    def _name(self, key: str) -> str:
        return f"{self._prefix}:token:{key}"

    def read(self, key: str) -> Blob | None:
        """Return the bytes under ``key`` and the seconds left by Redis's clock, as the hosts' clocks may differ."""
        with self._client.pipeline(transaction=True) as pipeline:
            data, milliseconds = pipeline.get(self._name(key)).pttl(self._name(key)).execute()
        return None if data is None else Blob(data, milliseconds / 1000 if milliseconds >= 0 else None)

    def write(self, key: str, data: bytes, lifetime: float) -> None:
        """Store ``data`` under ``key`` for ``lifetime`` seconds."""
        self._client.set(self._name(key), data, px=max(1, int(lifetime * 1000)))

    def lock(self, key: str) -> StoreLock:
        """Return the lock of ``key``. It is a value that is set if absent and expires after its holder died."""
        lock = self._client.lock(f"{self._name(key)}:lock", timeout=LOCK_LIFETIME, sleep=0.05, thread_local=False)

        def acquire(patience: float) -> bool:
            return bool(lock.acquire(blocking=patience > 0, blocking_timeout=patience or None))

        def release() -> None:
            with contextlib.suppress(redis.exceptions.LockError):  # another process holds it by now
                lock.release()

        return StoreLock(acquire, release)
