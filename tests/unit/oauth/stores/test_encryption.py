"""Sealing: what is kept says nothing to who does not hold the client secret."""

from __future__ import annotations

import time

import pytest
from cryptography.fernet import InvalidToken
from token_stores import MemoryVariables

from sentinelhub_provider.exceptions import SentinelHubAuthenticationError
from sentinelhub_provider.hooks.airflow_variables import VariableStore
from sentinelhub_provider.oauth.shared import Refusal, SharedEntry, cipher
from sentinelhub_provider.oauth.stores.file import FileStore
from sentinelhub_provider.oauth.stores.redis import RedisStore
from sentinelhub_provider.oauth.token import AccessToken

KEY = "0123456789abcdef" * 4
SECRET = "the-client-secret-itself"
TOKEN_VALUE = "eyJhbGciOiJSUzI1NiJ9.claims-that-nobody-may-see.signature"


def token() -> AccessToken:
    """Return a token that works."""
    return AccessToken(TOKEN_VALUE, time.time() + 3600, 3600.0)


def refusal() -> Refusal:
    """Return what is remembered of a wrong secret."""
    error = SentinelHubAuthenticationError("Client 'the-client-id' was refused.", status=401, code="invalid_client")
    return Refusal(error, time.time() + 60)


def test_same_secret_and_key_decrypt():
    """What was encrypted comes back."""
    assert cipher(SECRET, KEY).decrypt(cipher(SECRET, KEY).encrypt(b"plain")) == b"plain"


@pytest.mark.parametrize(("secret", "key"), [("another", KEY), (SECRET, KEY[::-1])], ids=["secret", "key"])
def test_others_do_not_decrypt(secret: str, key: str):
    """Another secret, or another client's place in the store, opens nothing."""
    with pytest.raises(InvalidToken):
        cipher(secret, key).decrypt(cipher(SECRET, KEY).encrypt(b"plain"))


@pytest.mark.parametrize("damage", [lambda whole: whole[:-5], lambda _: b"", lambda _: b"\xff\x00junk"])
def test_damaged_is_a_miss(damage, tmp_path):
    """Half a value, none, or junk is a miss and no error."""
    store = FileStore(tmp_path)
    entry = SharedEntry(store, key=KEY, secret=SECRET)
    entry.save(token())
    whole = store.read(KEY)
    assert whole is not None
    assert isinstance(entry.load(), AccessToken)

    store.write(KEY, damage(whole.data), 60)

    assert entry.load() is None


def test_one_flipped_bit_is_a_miss():
    """Encryption authenticates: nobody can change a value without the secret."""
    encrypted = bytearray(cipher(SECRET, KEY).encrypt(b"plain"))
    encrypted[30] ^= 1
    with pytest.raises(InvalidToken):
        cipher(SECRET, KEY).decrypt(bytes(encrypted))


def dump_files(tmp_path, redis_server):
    """Keep it in files; return what a reader of the folder sees."""
    store = FileStore(tmp_path)
    return store, lambda: b"".join(
        str(path).encode() + path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()
    )


def dump_redis(tmp_path, redis_server):
    """Keep it in Redis; return what a reader of all keys sees."""
    client = redis_server.client()
    return RedisStore(redis_server.url), lambda: b"".join(name + client.dump(name) for name in client.keys("*"))


def dump_variables(tmp_path, redis_server):
    """Keep it in variables; return what a reader of all of them sees."""
    variables = MemoryVariables()
    return VariableStore(variables), lambda: repr(variables.values).encode()


@pytest.mark.parametrize("entry", [token, refusal], ids=["token", "refusal"])
@pytest.mark.parametrize("place", [dump_files, dump_redis, dump_variables], ids=["file", "redis", "variable"])
def test_reader_of_the_store_finds_no_token_and_no_secret(tmp_path, redis_server, place, entry):
    """Neither is in any name or value, lock included; another secret opens none of it, the right one does."""
    store, dump = place(tmp_path, redis_server)
    shared = SharedEntry(store, key=KEY, secret=SECRET)
    lock = shared.lock()
    assert lock.acquire(1.0)
    shared.save(entry())
    everything = dump()
    lock.release()
    assert KEY[:20].encode() in everything, "the dump does not show the store"
    for hidden in (TOKEN_VALUE, "claims-that-nobody-may-see", SECRET, "the-client-id", "invalid_client"):
        assert hidden.encode() not in everything
    assert SharedEntry(store, key=KEY, secret="another-secret").load() is None
    assert type(SharedEntry(store, key=KEY, secret=SECRET).load()) is type(entry())
