"""Gives Airflow a home of its own, every test a process that knows no token, and none a way out of this machine."""

from __future__ import annotations

import atexit
import gc
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:  # the process that only shares the tests out reads this file, too
    from dag_runs import DagRunner
    from installed import Installed
    from job_deaths import Deaths
    from redis_server import RedisServer
    from s3_server import S3Server
    from task_instance import TaskInstance

# The same examples in each run: a property that fails now and then tells nothing about the change at hand. For a wider
# search: HYPOTHESIS_PROFILE=search.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

gc.disable()  # until all is loaded and collected: see pytest_collection

_TESTS = Path(__file__).parent
_HOME = tempfile.mkdtemp(prefix="airflow-home-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = _HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["NO_PROXY"] = "127.0.0.1,localhost,::1"
# A bucket that no test brings is found out to be unreachable at once.
os.environ |= {"AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true"}


def _refuse_the_outside(event: str, arguments: tuple[Any, ...]) -> None:
    """Let this process reach nobody but this machine: a test that would is wrong, whatever network it runs in."""
    if event == "socket.getaddrinfo" and not _is_here(arguments[0]):
        raise socket.gaierror(socket.EAI_NONAME, "tests reach this machine only")
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not _is_here(arguments[1][0]):
        raise ConnectionRefusedError("tests reach this machine only")


def _is_here(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host or ""
    return name in ("", "localhost", "::1", "::", "0.0.0.0") or name.startswith("127.")


sys.addaudithook(_refuse_the_outside)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes more than there are cores: some tests wait for a deadline or for another process."""
    return len(os.sched_getaffinity(0)) + 2


TOGETHER = {
    path.relative_to(_TESTS.parent).as_posix()
    for path in _TESTS.rglob("test_*.py")
    if re.search(r"\bdag_runner\b", path.read_text(encoding="utf-8"))
}
"""Files of tests that need an Airflow: one process of xdist has them all, so that it starts once."""


class FileScheduling(LoadFileScheduling):
    """Gives a file to one process, in the order of pytest's ``testpaths``."""

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Forget a test that is done: looked through with each further one, thousands cost seconds."""
        nodeid = self.registered_collections[node][item_index]
        work, scope = self.assigned_work[node], self._split_scope(nodeid)
        del work[scope][nodeid]
        if not work[scope]:
            del work[scope]
        self._reschedule(node)

    def _split_scope(self, nodeid: str) -> str:
        if "airflow-3." in nodeid:  # one process installs the package beside each Airflow
            return "installed"
        file = super()._split_scope(nodeid)
        return "dag_runner" if file in TOGETHER else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Share the tests between processes."""
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage, never look through what was collected, and look seldom afterwards."""
    result = yield
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
    return result


@pytest.fixture(scope="session")
def dag_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagRunner]:
    """A real Airflow for the DAGs of all tests of this process."""
    from dag_runs import started_dag_runner

    with started_dag_runner(tmp_path_factory.mktemp("airflow")) as runner:
        yield runner


@pytest.fixture(name="ti")
def fixture_ti() -> TaskInstance:
    """A task instance."""
    from task_instance import TaskInstance

    return TaskInstance()


@pytest.fixture(scope="session")
def s3_for_all() -> Iterator[S3Server]:
    """One S3 server for the tests that need a bucket."""
    from s3_server import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture(scope="module", name="made_deaths")
def fixture_made_deaths(sentinelhub_sandbox_server, tmp_path_factory: pytest.TempPathFactory):
    """What attempts are forked from, and a gate in front of the sandbox."""
    from attempt_process import attempts
    from gate import gate

    with attempts(tmp_path_factory.mktemp("attempts")) as processes, gate(sentinelhub_sandbox_server.url) as before:
        yield processes, before


@pytest.fixture
def deaths(made_deaths, sentinelhub_sandbox, tmp_path: Path) -> Deaths:
    """A task whose attempts die, with a sandbox of no bucket."""
    from job_deaths import Deaths

    return Deaths(*made_deaths, sentinelhub_sandbox, tmp_path)


@pytest.fixture(name="redis_for_all", scope="session")
def fixture_redis_for_all() -> Iterator[RedisServer]:
    """A Redis server for all tests of this process."""
    from redis_server import RedisServer

    with RedisServer() as server:
        yield server


@pytest.fixture(name="redis_server")
def fixture_redis_server(redis_for_all: RedisServer) -> RedisServer:
    """The server, empty."""
    with redis_for_all.client() as client:
        client.flushall()
    return redis_for_all


@pytest.fixture(autouse=True)
def fixture_no_tokens():
    """Start each test without tokens, refusals or masked secrets of the test before."""
    from sentinelhub_provider.oauth.broker import forget_tokens

    forget_tokens()
    yield
    forget_tokens()
    for thread in threading.enumerate():
        if thread.name == "sentinelhub-token":  # a renewal in the background would be counted in the next test
            thread.join(90.0)
    # Each masked secret makes one regular expression longer, which is compiled anew with the next.
    masker = sys.modules.get("airflow.sdk._shared.secrets_masker")
    if masker is not None:
        masker.reset_secrets_masker()


SUPPORTED = [
    # The oldest Airflow with the oldest Python and the lowest versions that pyproject.toml allows, and so on upwards.
    pytest.param(("3.1.8", "3.11"), id="airflow-3.1"),
    pytest.param(("3.2.2", "3.12"), id="airflow-3.2"),
    pytest.param(("3.3.2", "3.13"), id="airflow-3.3"),
]


@pytest.fixture(scope="session", name="distributions")
def fixture_distributions(tmp_path_factory) -> tuple[Path, Path]:
    """The built sdist, and the wheel that was built from it."""
    from installed import build

    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session", name="installed", params=SUPPORTED)
def fixture_installed(request, distributions, tmp_path_factory) -> Installed:
    """The wheel, installed beside each supported Airflow in turn."""
    from installed import install

    airflow_version, python = request.param
    _, wheel = distributions
    return install(wheel, airflow_version, python, tmp_path_factory.mktemp(f"airflow-{airflow_version}"))
