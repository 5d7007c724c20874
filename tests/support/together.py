"""Processes of one test that begin their work in the same moment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

WARM = ["pytest", "hypothesis", "pystac", "deltalake", "pyarrow.dataset", "pyarrow.parquet"]
WARM += ["sentinelhub_provider.stac.collection", "sentinelhub_provider.tables"]
"""Modules that the work needs: loaded once, with Airflow, in the process that all of them are forked from."""


def start_together(work: Callable[..., None], *arguments: tuple[Any, ...]) -> list[BaseProcess]:
    """Start a process for each tuple of arguments; return when all of them are loaded and have begun.

    :param work: a function of a module; its last argument is what it waits for before it begins.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    together = context.Barrier(len(arguments) + 1)
    processes: list[BaseProcess] = [context.Process(target=work, args=(*each, together)) for each in arguments]
    for process in processes:
        process.start()
    together.wait()
    return processes
