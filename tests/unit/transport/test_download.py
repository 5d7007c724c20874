"""Files that appear when they are complete, and never otherwise."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.hooks.output import store, target_for
from sentinelhub_provider.transport.download import FileSystemTarget, LocalTarget

BODY = b"0123456789" * 1000


def everything_below(folder: Path) -> list[str]:
    """Return all files, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(name="memory")
def fixture_memory() -> Iterator[fsspec.AbstractFileSystem]:
    """An object store that is empty before and after."""
    from airflow.sdk.io import attach

    file_system = fsspec.filesystem("memory")
    attach("memory", fs=file_system)  # Airflow knows no memory:// by itself
    file_system.store.clear()
    yield file_system
    file_system.store.clear()


def test_file_appears_only_when_complete(tmp_path: Path):
    """Who watches the folder never sees a part of it under its name."""
    path = tmp_path / "made" / "on" / "demand" / "picture.tiff"
    with LocalTarget(path) as receiver:
        receiver.feed(BODY[:5000])
        receiver.feed(BODY[5000:])
        assert not path.exists()
        download = receiver.complete(content_type="image/tiff", processing_units=0.5, url="https://x")

    assert path.read_bytes() == BODY
    assert everything_below(tmp_path) == ["made/on/demand/picture.tiff"]
    assert (download.path, download.size) == (str(path), len(BODY))
    assert download.sha256 == hashlib.sha256(BODY).hexdigest()
    assert (download.content_type, download.processing_units, download.url) == ("image/tiff", 0.5, "https://x")


def test_incomplete_file_leaves_nothing_behind(tmp_path: Path):
    """Neither under its name nor under another."""
    with LocalTarget(tmp_path / "picture.tiff") as receiver:
        receiver.feed(BODY)

    assert everything_below(tmp_path) == []


def test_error_on_the_way_leaves_the_old_file_alone(tmp_path: Path):
    """A day's picture is not lost because its replacement failed."""
    path = tmp_path / "picture.tiff"
    path.write_bytes(b"old")

    def killed_on_the_way() -> None:
        with LocalTarget(path) as receiver:
            receiver.feed(BODY)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        killed_on_the_way()

    assert path.read_bytes() == b"old"
    assert everything_below(tmp_path) == ["picture.tiff"]


def test_next_attempt_starts_from_nothing(tmp_path: Path):
    """What a broken attempt left is dropped, from the file and from the checksum."""
    path = tmp_path / "picture.tiff"
    with LocalTarget(path) as receiver:
        receiver.feed(b"a longer body of an attempt that broke")
        receiver.restart()
        receiver.feed(b"whole")
        download = receiver.complete(content_type="", processing_units=None, url="")

    assert path.read_bytes() == b"whole"
    assert (download.size, download.sha256) == (5, hashlib.sha256(b"whole").hexdigest())


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_file_has_the_permissions_of_any_new_file(tmp_path: Path, umask: int):
    """A temporary file starts out private; the next task may run as somebody else."""
    before = os.umask(umask)
    try:
        store(b"x", tmp_path / "file", content_type="")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_existing_file_is_replaced(tmp_path: Path):
    """A task that runs again writes the same file again."""
    (tmp_path / "file").write_bytes(b"old and longer")
    store(b"new", tmp_path / "file", content_type="")

    assert (tmp_path / "file").read_bytes() == b"new"


def _folder(folder: Path) -> Path:
    return folder


def _folder_to_be(folder: Path) -> str:
    return f"{folder}/new/"


def _below_a_file(folder: Path) -> Path:
    (folder / "file").write_bytes(b"")
    return folder / "file" / "picture.tiff"


def _name_too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


@pytest.mark.parametrize(
    "make", [_folder, _folder_to_be, _below_a_file, _name_too_long], ids=lambda it: it.__name__[1:]
)
def test_path_that_cannot_be_written_is_found_on_entering(tmp_path: Path, make):
    """Before anything is sent: a picture that cannot be stored would be paid for all the same."""
    path = make(tmp_path)
    receiver = LocalTarget(path)

    with pytest.raises(SentinelHubOutputError, match="cannot be written") as error:
        receiver.__enter__()

    assert str(path).rstrip("/") in str(error.value)
    assert "Check that it names a file" in str(error.value)
    assert error.value.final


def test_folder_without_permission_is_found_on_entering(tmp_path: Path):
    """Tried as a user without privileges, since root may write everywhere."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    script = f"""
import os, sys
sys.path[:] = {sys.path!r}
from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.transport.download import LocalTarget
if os.getuid() == 0:
    os.setuid(65534)
receiver = LocalTarget({str(locked / "picture.tiff")!r})
try:
    receiver.__enter__()
except SentinelHubOutputError as error:
    print(error)
"""
    for folder in (tmp_path, *list(tmp_path.parents)[:-2]):
        if folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "cannot be written" in answer.stdout
    assert "ermission denied" in answer.stdout


def test_disk_that_fills_up_is_an_output_error(tmp_path: Path):
    """/dev/full answers each write as a full disk does."""
    target = LocalTarget(tmp_path / "picture.tiff")

    def fill_the_disk() -> None:
        with target as receiver, open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
            assert target._file is not None
            os.dup2(full.fileno(), target._file.fileno())
            receiver.feed(BODY * 1000)

    with pytest.raises(SentinelHubOutputError, match="there is space"):
        fill_the_disk()

    assert everything_below(tmp_path) == []


# --- object stores ---------------------------------------------------------------------------------------------------


def test_object_appears_only_when_complete(memory: fsspec.AbstractFileSystem):
    """As on disk."""
    with FileSystemTarget(memory, "/bucket/a.tiff", shown="memory://bucket/a.tiff") as receiver:
        receiver.feed(BODY)
        assert not memory.exists("/bucket/a.tiff")
        download = receiver.complete(content_type="", processing_units=None, url="")

    assert memory.cat("/bucket/a.tiff") == BODY
    assert download.path == "memory://bucket/a.tiff"


def test_incomplete_object_leaves_nothing_behind(memory: fsspec.AbstractFileSystem):
    """Nothing was uploaded."""
    with FileSystemTarget(memory, "/bucket/a.tiff", shown="") as receiver:
        receiver.feed(BODY)

    assert memory.find("/") == []


def test_object_storage_url_goes_through_airflow(memory: fsspec.AbstractFileSystem):
    """``ObjectStoragePath`` knows s3://, gs:// and the rest."""
    download = store(BODY, "memory://bucket/key/a.json", content_type="application/json")

    assert download.path == "memory://bucket/key/a.json"
    assert memory.cat("/bucket/key/a.json") == BODY


def test_file_url_is_a_local_file(tmp_path: Path):
    """Written as atomically as any."""
    download = store(BODY, f"file://{tmp_path}/a.json", content_type="")

    assert (tmp_path / "a.json").read_bytes() == BODY
    assert download.path == str(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("path", "problem"),
    [("", "is empty"), ("  ", "is empty"), ("nosuchscheme://bucket/key", "provider package for that storage")],
)
def test_path_that_names_no_place_is_refused(path: str, problem: str):
    """Before anything is sent."""
    with pytest.raises(SentinelHubOutputError, match=problem):
        target_for(path)


def test_object_path_that_names_a_folder_is_refused(memory: fsspec.AbstractFileSystem):
    """An object needs a name."""
    with pytest.raises(SentinelHubOutputError, match="names a folder"):
        store(BODY, "memory://bucket/folder/", content_type="")
