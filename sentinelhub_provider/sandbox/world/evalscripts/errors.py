"""Converts V8's error reports into the service's errors."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sentinelhub_provider.sandbox.errors import ApiError

SCRIPT_NAME = "evalscript.js"

_FRAME = re.compile(re.escape(SCRIPT_NAME) + r":(\d+)(?::(\d+))?")
# A script with a syntax error has no name yet.
_HEAD = re.compile(r"(?:" + re.escape(SCRIPT_NAME) + r"|<anonymous>):(\d+)")


class ScriptTimeoutError(ApiError):
    """The 400 for an evalscript that takes too long."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "RENDERER_EXCEPTION", message)


def script_error(message: str) -> ApiError:
    """Make the 400 for a faulty evalscript."""
    return ApiError(400, "RENDERER_EXCEPTION", message)


def missing_output(wanted: str, known: Sequence[str], why: str = "") -> ApiError:
    """Make the 400 for an output that the request names and ``setup()`` lacks."""
    message = f"Output {wanted} requested but missing from function setup(); it has {', '.join(known)}.{why}"
    return ApiError(400, "COMMON_BAD_PAYLOAD", message)


def from_v8(report: str) -> ApiError:
    """Read the message of an exception, and its place in the user's evalscript, from V8's report.

    A report begins with ``script:line: message`` and the source line. A stack may follow after a blank line. Its first
    frame within the evalscript is the place. Errors of the sandbox's own checks have no such frame.
    """
    head, _, rest = report.partition("\n")
    script, _, message = head.partition(": ")
    in_head = _HEAD.match(head)
    place = _FRAME.search(rest.partition("\n\n")[2]) or in_head
    if place is None:
        text = message.removeprefix("Error: ") if script.startswith("driver.js:") else message or head
        return script_error(f"Failed to evaluate script!\n{text}")
    column = place[2] if place.re is _FRAME else None
    where = f"line {place[1]}" + (f", column {column}" if column else "")
    quoted = ""
    if in_head is not None and in_head[1] == place[1]:
        quoted = f": {rest.partition(chr(10))[0].strip()[:160]}"
    return script_error(f"Failed to evaluate script!\n{SCRIPT_NAME}:{place[1]}: {message} ({where}{quoted})")
