"""Files that a kill leaves nothing of, and whatever else may lie where one is written."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from clocks import FakeClock

from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.hooks.output import store, target_for
from sentinelhub_provider.transport.download import STORE_PATIENCE, FileSystemTarget, LocalTarget

KILLED = """
import os, signal, sys
sys.path[:] = {path!r}
from sentinelhub_provider.hooks.output import target_for
from sentinelhub_provider.transport.download import LocalTarget
if {named}:
    LocalTarget._nameless = lambda self: None
target = target_for({target!r})
target.restart()
target.feed(b"0123456789" * 100000)
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_while_writing(target: Path, *, named: bool = False) -> None:
    """Let a process die in the middle of a file."""
    script = KILLED.format(path=sys.path, target=str(target), named=named)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL


def test_kill_leaves_nothing(tmp_path: Path):
    """Neither the file nor a part of it."""
    kill_while_writing(tmp_path / "picture.tiff")

    assert list(tmp_path.iterdir()) == []


def test_part_of_a_kill_goes_where_files_need_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On the day after."""
    kill_while_writing(tmp_path / "picture.tiff", named=True)
    (left,) = tmp_path.iterdir()
    monkeypatch.setattr(LocalTarget, "_nameless", lambda self: None)
    store(b"x", tmp_path / "other.tiff", content_type="")
    assert left.exists()  # it may be another task's

    os.utime(left, (0, 0))
    store(b"x", tmp_path / "picture.tiff", content_type="")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.tiff", "picture.tiff"]


@pytest.mark.parametrize("named", [False, True], ids=["nameless", "named"])
def test_permissions_do_not_race(tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch):
    """Threads that write files at the same time never open the process's umask for each other."""
    if named:
        monkeypatch.setattr(LocalTarget, "_nameless", lambda self: None)
    set_to: list[int] = []
    monkeypatch.setattr(os, "umask", lambda mask: set_to.append(mask) or 0)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda n: store(b"x", tmp_path / str(n), content_type=""), range(8)))

    plain = tmp_path / "plain"
    plain.touch()
    expected = stat.S_IMODE(plain.stat().st_mode)
    assert {stat.S_IMODE((tmp_path / str(n)).stat().st_mode) for n in range(8)} == {expected}
    assert set_to == []


def test_link_leads_to_the_file_that_is_written(tmp_path: Path):
    """It stays a link."""
    real = tmp_path / "disk" / "picture.tiff"
    real.parent.mkdir()
    link = tmp_path / "latest.tiff"
    link.symlink_to(real)
    store(b"new", link, content_type="")

    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_pipe_is_refused(tmp_path: Path):
    """And stays."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SentinelHubOutputError, match="a pipe or a device"):
        store(b"x", pipe, content_type="")

    assert pipe.is_fifo()


@pytest.mark.parametrize("named", [False, True], ids=["nameless", "named"])
def test_name_may_have_all_the_bytes_that_the_disk_takes(tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch):
    """What is added while it is written is no part of the name."""
    if named:
        monkeypatch.setattr(LocalTarget, "_nameless", lambda self: None)
    store(b"x", tmp_path / ("x" * 255), content_type="")

    assert len(next(tmp_path.iterdir()).name) == 255


def test_file_is_copied_where_it_cannot_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As in a container without /proc."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    store(b"body", tmp_path / "file", content_type="")

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"body"]


class Flaky(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
    """A store in memory that refuses so many uploads."""

    protocol = "flaky"
    store: dict = {}  # noqa: RUF012 - fsspec's own form
    pseudo_dirs = [""]  # noqa: RUF012 - fsspec's own form
    cachable = False

    def __init__(self, error: Exception, times: int) -> None:
        super().__init__()
        self.error, self.times = error, times

    def put_file(self, *args: object, **kwargs: object) -> None:
        """Refuse, or store."""
        if self.times:
            self.times -= 1
            raise self.error
        super().put_file(*args, **kwargs)


def upload(file_system: Flaky, clock: FakeClock) -> None:
    """Store an object."""
    target = FileSystemTarget(file_system, "/b/a.tif", shown="x://b/a.tif", clock=clock, sleep=clock.sleep)
    with target as receiver:
        receiver.feed(b"body")
        receiver.complete(content_type="", processing_units=None, url="")


def test_upload_waits_for_a_store_that_is_away():
    """What is to be stored is paid for."""
    clock = FakeClock()
    file_system = Flaky(ConnectionRefusedError("away"), times=4)
    upload(file_system, clock)

    assert file_system.cat("/b/a.tif") == b"body"
    assert clock.now - 0 >= 15


def test_store_that_stays_away_is_no_final_fault():
    """Two minutes are the end; the task's retry goes on."""
    clock = FakeClock()
    began = clock()
    with pytest.raises(SentinelHubOutputError, match="cannot be written for now") as caught:
        upload(Flaky(ConnectionRefusedError("away"), times=-1), clock)

    assert not caught.value.final
    assert clock() - began <= STORE_PATIENCE


def test_refusal_is_not_repeated():
    """No permission today is no permission in a second."""
    file_system = Flaky(PermissionError("AccessDenied"), times=1)
    with pytest.raises(SentinelHubOutputError) as caught:
        upload(file_system, FakeClock())

    assert caught.value.final
    assert file_system.times == 0


class OldObjectStoragePath(type(Path())):  # type: ignore[misc]
    """What ``ObjectStoragePath`` is on Airflow 3.1: a ``pathlib.Path`` that leads elsewhere."""

    protocol = "memory"
    storage_options: dict = {}  # noqa: RUF012 - a stand-in

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The store."""
        return fsspec.filesystem("memory")

    @property
    def path(self) -> str:
        """The path within it."""
        return f"/{self}"


def test_object_path_that_is_a_path_is_no_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It goes to its store, not to the worker's disk."""
    monkeypatch.chdir(tmp_path)

    assert isinstance(target_for(OldObjectStoragePath("bucket/a.tif")), FileSystemTarget)
    store(b"x", OldObjectStoragePath("bucket/a.tif"), content_type="")
    assert fsspec.filesystem("memory").cat("/bucket/a.tif") == b"x"
    assert list(tmp_path.iterdir()) == []
