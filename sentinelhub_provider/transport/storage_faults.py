"""Whether what a disk or an object store says passes or stays. Storage libraries share no tree of errors."""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from typing import Any

# Codes of S3 that pass, whatever status they come with; an upload that is not there any more is begun anew.
_PASSING_CODES = re.compile(
    "ExpiredToken|InternalError|NoSuchUpload|OperationAborted|RequestExpired|RequestTimeout|RequestTimeTooSkewed"
    "|ServiceUnavailable|SlowDown|Throttling|ThrottlingException|TokenRefreshRequired"
)

_PASSING_STATUSES = frozenset({408, 409, 425, 429})  # client errors (4xx) that pass

_FINAL_KINDS = (
    PermissionError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    NotImplementedError,
    ValueError,
    TypeError,
)
_FINAL_NUMBERS = frozenset({errno.ENAMETOOLONG, errno.EROFS, errno.EINVAL, errno.ELOOP, errno.ENXIO})
# Airflow's missing connection, and what the libraries of AWS, Google and Azure say of credentials.
_FINAL_NAMES = re.compile(
    "AirflowNotFoundException|ClientAuthenticationError|DefaultCredentialsError|NoCredentialsError"
    "|ParamValidationError|PartialCredentialsError|ProfileNotFound"
)


def is_final(error: BaseException) -> bool:
    """Tell whether doing it again is bound to fail again: no such bucket, no permission, a path that cannot be."""
    # All else passes: a store that does not answer, or answers that it is busy, and a disk that is full.
    code, status = _code(error), _status(error)
    if _PASSING_CODES.fullmatch(code) or status in _PASSING_STATUSES:
        return False
    if isinstance(error, _FINAL_KINDS) or any(_FINAL_NAMES.fullmatch(kind.__name__) for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError) and error.errno in _FINAL_NUMBERS:
        return True
    return status is not None and 400 <= status < 500


def _code(error: BaseException) -> str:
    responses = (getattr(one, "response", None) for one in (error, error.__cause__))
    found = next((response for response in responses if isinstance(response, dict)), None)
    return str((found or {}).get("Error", {}).get("Code"))


def _status(error: BaseException) -> int | None:
    for one in (error, error.__cause__):
        response: Any = getattr(one, "response", None)
        if isinstance(response, dict):
            named = [response.get("ResponseMetadata", {}).get("HTTPStatusCode")]
        else:
            named = [getattr(one, name, None) for name in ("status_code", "status", "code")]
        found = next((value for value in named if value is not None), None)
        if found is not None and not isinstance(found, bool):
            with suppress(TypeError, ValueError):
                return int(found)
    return None
