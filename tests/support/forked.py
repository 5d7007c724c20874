"""Forks processes that begin their work at once, when a line comes on the standard input."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from typing import Any


def at_once(processes: int, work: Callable[[], Any]) -> None:
    """Fork, print the children's ids, let them go, wait for them; each prints what its work returned, on a line."""
    gate, opener = os.pipe()
    gc.freeze()  # no child looks for garbage in what all of them share, which would copy it
    children = []
    for _ in range(processes):
        children.append(os.fork())
        if children[-1] == 0:
            os.close(opener)
            os.read(gate, 1)  # until the other end is closed
            os.write(1, f"{json.dumps(work())}\n".encode())  # in one piece, also among others'
            os._exit(0)
    os.write(1, f"{json.dumps(children)}\n".encode())
    sys.stdin.readline()
    os.close(opener)
    for child in children:
        os.waitpid(child, 0)
