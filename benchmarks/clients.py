"""The clients that are compared, each behind the same two verbs. Only what a user of each would write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import requests
    from sentinelhub.download.models import DownloadRequest

from benchmarks.harness import CONN_ID

PATH = "/api/v1/bench"


class Client(Protocol):
    """One process's client."""

    def calls(self, count: int, threads: int, done: Callable[[BaseException | None], None]) -> None:
        """Make calls, at most ``threads`` at a time; ``done`` is told of each: ``None``, or what went wrong."""

    def download(self, path: Path) -> None:
        """Make one call and store its body."""


class PackageClient:
    """This package: one hook, shared by the threads. Its connection is in the environment."""

    def __init__(self, *, deadline: float | None) -> None:
        from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

        self._hook = SentinelHubHook(CONN_ID)
        self._deadline = deadline

    def calls(self, count: int, threads: int, done: Callable[[BaseException | None], None]) -> None:
        """Make calls through ``hook.request``."""
        each(count, threads, lambda: self._hook.request("GET", PATH, deadline=self._deadline), done)

    def download(self, path: Path) -> None:
        """Store the body with ``hook.download``."""
        self._hook.download("GET", PATH, path, deadline=self._deadline)


class OfficialClient:
    """The official ``sentinelhub`` client, which takes a list of requests and a number of threads."""

    def __init__(self, *, url: str, client_id: str, client_secret: str) -> None:
        from sentinelhub.config import SHConfig

        config = SHConfig(use_defaults=True)
        config.sh_base_url, config.sh_token_url = url, f"{url}/token"
        config.sh_client_id, config.sh_client_secret = client_id, client_secret
        self._config = config

    def calls(self, count: int, threads: int, done: Callable[[BaseException | None], None]) -> None:
        """Make calls one by one, or all at once where threads are asked for: then one failure takes all with it."""
        from sentinelhub.download.sentinelhub_client import SentinelHubDownloadClient

        client = SentinelHubDownloadClient(config=self._config)
        if threads == 1:
            each(count, 1, lambda: client.download([self._request()], decode_data=False), done)
            return
        try:
            client.download([self._request() for _ in range(count)], decode_data=False, max_threads=threads)
        except Exception as error:
            for _ in range(count):
                done(error)
        else:
            for _ in range(count):
                done(None)

    def download(self, path: Path) -> None:
        """Store the body; the client has it in memory whole."""
        from sentinelhub.download.sentinelhub_client import SentinelHubDownloadClient

        client = SentinelHubDownloadClient(config=self._config)
        (response,) = client.download([self._request()], decode_data=False)
        path.write_bytes(response.content)

    def _request(self) -> DownloadRequest:
        from sentinelhub.constants import MimeType
        from sentinelhub.download.models import DownloadRequest

        url = f"{self._config.sh_base_url}{PATH}"
        return DownloadRequest(url=url, use_session=True, data_type=MimeType.RAW)


class BareClient:
    """``requests`` with keep-alive and a token that it was given: the floor."""

    def __init__(self, *, url: str, token: str, threads: int) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self._url = f"{url}{PATH}"
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(pool_maxsize=threads))
        self._session.headers["Authorization"] = f"Bearer {token}"

    def calls(self, count: int, threads: int, done: Callable[[BaseException | None], None]) -> None:
        """Make calls with ``session.get``."""
        each(count, threads, self._call, done)

    def _call(self) -> requests.Response:
        response = self._session.get(self._url, timeout=60)
        response.raise_for_status()
        return response

    def download(self, path: Path) -> None:
        """Store the body by the loop that everyone writes."""
        with self._session.get(self._url, stream=True, timeout=60) as response, path.open("wb") as file:
            response.raise_for_status()
            for chunk in response.iter_content(256 * 1024):
                file.write(chunk)


def each(count: int, threads: int, call: Callable[[], object], done: Callable[[BaseException | None], None]) -> None:
    """Make ``count`` calls on so many threads; one that fails costs that one."""

    def one(_: int) -> None:
        try:
            call()
        except Exception as error:
            done(error)
        else:
            done(None)

    if threads == 1:
        for index in range(count):
            one(index)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(count)))


def load(name: str) -> None:
    """Import all that a client needs, so that no measurement holds the time for it."""
    if name == "package":
        load_package("oauth", "transport", "hooks")
    elif name == "official":
        import sentinelhub  # noqa: F401
    else:
        import requests  # noqa: F401


def load_package(*rooms: str) -> None:
    """Import what the package imports while it works, so that the figures hold its work alone."""
    from airflow.providers.common.compat.sdk import Stats  # noqa: F401

    for room in rooms:
        package = import_module(f"sentinelhub_provider.{room}")
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            with suppress(ModuleNotFoundError):  # an extra that is not installed
                import_module(module.name)


def client_of(name: str, *, token: str, threads: int, deadline: float | None) -> Client:
    """Make a client by name: ``package``, ``official`` or ``bare``. Where the server is, the connection says."""
    if name == "package":
        return PackageClient(deadline=deadline)
    connection = json.loads(os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"])
    if name == "bare":
        return BareClient(url=connection["host"], token=token, threads=threads)
    return OfficialClient(url=connection["host"], client_id=connection["login"], client_secret=connection["password"])
