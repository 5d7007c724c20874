"""Tokens in files: who may read them, whole or not at all, and folders that cannot be used."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from token_endpoint import WAIT

from sentinelhub_provider.exceptions import SentinelHubTransportError
from sentinelhub_provider.oauth.broker import TokenBroker
from sentinelhub_provider.oauth.shared import SharedEntry
from sentinelhub_provider.oauth.stores.file import FileStore, usable_folder

KEY = "0123456789abcdef" * 4
HOUR = 3600.0


@pytest.fixture(autouse=True)
def fixture_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A temporary folder of the test's own, in a process that has not looked at any folder yet."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    usable_folder.cache_clear()
    yield
    usable_folder.cache_clear()


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    """A folder for a store."""
    return usable_folder(tmp_path / "sentinelhub")


def mode(path: Path) -> int:
    """Return a file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def fallback(tmp_path: Path) -> Path:
    """Return where tokens are kept if not where they should be."""
    return tmp_path / "tmp" / f"sentinelhub-{os.getuid()}"


# --- permissions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read(tmp_path: Path, umask: int):
    """Files are 0600 in a folder that is 0700, whatever the process's umask."""
    before = os.umask(umask)
    try:
        folder = usable_folder(tmp_path / "airflow" / "sentinelhub")
        store = FileStore(folder)
        lock = store.lock(KEY)
        assert lock.acquire(0.0)
        store.write(KEY, b"sealed", HOUR)
        lock.release()
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert {mode(file) for file in folder.iterdir()} == {0o600}


def test_preferred_folder_is_used_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Nothing is logged where all is well."""
    assert usable_folder(tmp_path / "sentinelhub") == tmp_path / "sentinelhub"
    assert caplog.records == []


def open_to_others(folder: Path) -> None:
    """Make it as mkdir does."""
    folder.mkdir(mode=0o700)
    folder.chmod(0o755)


def symbolic_link(folder: Path) -> None:
    """Let it lead to another folder."""
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / "elsewhere")


def below_a_file(folder: Path) -> None:
    """Let nothing be made there."""
    folder.parent.rmdir()
    folder.parent.write_text("not a folder")


@pytest.mark.parametrize("spoil", [open_to_others, symbolic_link, below_a_file], ids=lambda spoil: spoil.__name__)
def test_unsuitable_folder_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil):
    """A folder that others may enter, that leads elsewhere, or that cannot be made is left alone; the log says so."""
    preferred = tmp_path / "home" / "sentinelhub"
    preferred.parent.mkdir()
    spoil(preferred)
    before = mode(preferred) if preferred.exists() else None
    folders = {usable_folder(preferred) for _ in range(3)}
    assert folders == {fallback(tmp_path)}
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(preferred) in record.getMessage()
    assert str(fallback(tmp_path)) in record.getMessage()
    assert before is None or mode(preferred) == before, "a folder that is not ours was changed"


def test_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Who made a folder can put anything in it; here all folders are another's, the fallback as well."""
    (tmp_path / "sentinelhub").mkdir(mode=0o700)
    somebody_else = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: somebody_else)
    assert usable_folder(tmp_path / "sentinelhub") is None
    (record,) = caplog.records
    assert "belongs to another user" in record.getMessage()


def test_spoiled_fallback_is_refused_as_well(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A link that somebody laid below the temporary folder is not followed: every process keeps its own token."""
    (tmp_path / "home").write_text("not a folder")
    symbolic_link(fallback(tmp_path))
    assert usable_folder(tmp_path / "home" / "sentinelhub") is None
    (record,) = caplog.records
    assert "every process gets its own" in record.getMessage()
    assert list((tmp_path / "tmp" / "elsewhere").iterdir()) == []


# --- locks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [0.0, -1.0])
def test_caller_whose_time_is_over_does_not_wait_for_a_lock_that_is_never_freed(folder: Path, patience: float):
    """Its process would fetch no token any more: to the file lock, a negative time-out means for ever."""
    store, asked = FileStore(folder), threading.Event()
    held = store.lock(KEY)
    assert held.acquire(0.0)
    try:
        with contextlib.suppress(SentinelHubTransportError, ZeroDivisionError):
            TokenBroker(SharedEntry(store, key=KEY, secret="s")).get(lambda _: asked.set() or 1 / 0, patience=patience)
        assert asked.wait(WAIT)
    finally:
        held.release()


# --- whole or not at all ---------------------------------------------------------------------------------------------


def test_reader_never_sees_half_of_a_value(tmp_path: Path):
    """While one thread writes long values over and over, another reads only whole ones."""
    store = FileStore(tmp_path)
    values = [bytes([letter]) * 200_000 for letter in b"abcdef"]
    store.write(KEY, values[0], HOUR)
    done = threading.Event()

    def write() -> None:
        for number in range(120):
            store.write(KEY, values[number % len(values)], HOUR)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(store.read(KEY).data)
    writer.join()
    assert set(seen) <= set(values)
    assert len(seen) > 10


WRITE_WITHOUT_SPACE = """
import resource, signal, sys
from pathlib import Path
from sentinelhub_provider.exceptions import SentinelHubTransportError
from sentinelhub_provider.oauth.broker import TokenBroker
from sentinelhub_provider.oauth.shared import SharedEntry
from sentinelhub_provider.oauth.stores.file import FileStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    FileStore(Path(sys.argv[1])).write(sys.argv[2], b"x" * 5000, 3600.0)
except OSError as error:
    print(type(error).__name__)
"""


def test_full_disk_leaves_the_value_before(folder: Path):
    """A write that does not fit raises, leaves what was there, and no pieces."""
    store = FileStore(folder)
    store.write(KEY, b"before", HOUR)
    run = subprocess.run(
        [sys.executable, "-c", WRITE_WITHOUT_SPACE, str(folder), KEY], capture_output=True, text=True, check=True
    )
    assert run.stdout == "OSError\n"
    assert store.read(KEY).data == b"before"
    assert [file.name for file in folder.iterdir()] == [f"{KEY}.token"]


def test_pieces_of_a_killed_writer_are_swept_away(folder: Path):
    """What a process left that was killed while it wrote goes with a later write; a write under way stays."""
    store = FileStore(folder)
    left, under_way = folder / f".{KEY[:8]}.dead.part", folder / f".{KEY[:8]}.busy.part"
    for piece in (left, under_way):
        piece.write_bytes(b"sea")
    os.utime(left, (1, 1))
    store.write(KEY, b"sealed", HOUR)
    assert not left.exists()
    assert under_way.exists()


def test_folder_that_vanished_is_made_again(tmp_path: Path):
    """A cleaner that removes the folder in mid-run does not end the sharing, and others still cannot enter."""
    folder = usable_folder(tmp_path / "sentinelhub")
    store = FileStore(folder)
    folder.rmdir()
    assert store.read(KEY) is None
    lock = store.lock(KEY)
    assert lock.acquire(0.0)
    store.write(KEY, b"sealed", HOUR)
    lock.release()
    assert store.read(KEY).data == b"sealed"
    assert mode(folder) == 0o700
