"""Reads the JSON that the service answers with."""

from __future__ import annotations

import json
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubResponseError


def decode_answer(content: bytes | str, who: str) -> Any:
    """Decode an answer's body; ``who`` answered. Raises :class:`SentinelHubResponseError` where it is not JSON."""
    try:
        return json.loads(content)
    except ValueError as error:
        raise SentinelHubResponseError(f"{who} answered with something other than JSON: {error}.") from error
