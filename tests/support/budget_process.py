"""Tasks that make one Process request each, all at once, and print what became of each, as JSON, on a line.

``python budget_process.py PROCESSES CALLS BODY``: each of the processes makes its calls one after the other, each with
a hook of its own, as mapped tasks do. The ids of the processes are printed first.
"""

from __future__ import annotations

import json
import sys

from forked import at_once

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
    """Make the calls in processes that begin at once."""
    processes, calls, body = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    at_once(processes, lambda: [outcome(body) for _ in range(calls)])


if __name__ == "__main__":
    main()
