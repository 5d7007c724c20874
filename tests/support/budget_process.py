"""Tasks that make one Process request each, all at once, and print what became of each, as JSON, on a line.

``python budget_process.py PROCESSES CALLS BODY``: each of the processes makes its calls one after the other, each with
a hook of its own, as mapped tasks do. They wait for a line on the standard input before they start.
"""

from __future__ import annotations

import json
import os
import sys

import sentinelhub_provider.hooks.costs
import sentinelhub_provider.transport.session  # noqa: F401
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook


def outcome(body: object) -> str:
    """Make one call, and say what became of it."""
    hook = SentinelHubHook()
    try:
        hook.request("POST", "/process/v1", json=body)
    except SentinelHubError as error:
        return type(error).__name__
    finally:
        hook.get_conn().close()
    return "succeeded"


def main() -> None:
    """Fork, let them go, wait for them."""
    processes, calls, body = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    gate, opener = os.pipe()
    children = []
    for _ in range(processes):
        children.append(os.fork())
        if children[-1] == 0:
            os.close(opener)
            os.read(gate, 1)  # until the other end is closed
            line = json.dumps([outcome(body) for _ in range(calls)])
            os.write(1, f"{line}\n".encode())  # in one piece, also among others'
            os._exit(0)
    sys.stdin.readline()
    os.close(opener)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
