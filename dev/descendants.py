"""Ending a process together with everything that it started, directly or not.

``airflow standalone`` leaves schedulers and workers behind when it is stopped, some of them in sessions of their own.
So the caller becomes the parent of every orphan among its descendants (Linux's *child subreaper*), and ends them all.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # from <linux/prctl.h>


def adopt_orphans() -> bool:
    """Make this process inherit orphaned descendants; return whether the operating system can do that (Linux can)."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def of_this_process(sessions: tuple[int, ...] = ()) -> list[psutil.Process]:
    """Return all descendants, and all members of the given sessions (for systems where orphans get lost)."""
    found = {process.pid: process for process in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in sessions:
                found[process.pid] = process
        except (ProcessLookupError, PermissionError):
            continue  # it has just ended, or is somebody else's
    return list(found.values())


def end_all(sessions: tuple[int, ...] = (), *, grace: float = 15.0) -> None:
    """End every descendant: ask, wait, then make them.

    :param sessions: ids of sessions whose members are ended too.
    :param grace: seconds that they get to stop by themselves.
    """
    deadline = time.monotonic() + grace
    asked: set[int] = set()
    while processes := of_this_process(sessions):
        overdue = time.monotonic() >= deadline
        for process in processes:
            try:
                if overdue:
                    process.kill()
                elif process.pid not in asked:
                    process.terminate()
            except psutil.NoSuchProcess:
                continue
            asked.add(process.pid)
        # Also collects the exit status of adopted orphans, which would stay in the process table otherwise.
        psutil.wait_procs(processes, timeout=0.2)
