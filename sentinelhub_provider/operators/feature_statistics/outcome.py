"""What a statistics task says of the features it could not answer, and whether it fails for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from sentinelhub_provider.exceptions import SentinelHubBadRequestError, SentinelHubResponseError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.statistical.survey import Problem

SHOWN = 100
"""Problems that the log and the result show; the others are counted."""

NAMED = 20
"""Problems that an error names."""

FAILED_FEATURES_KEY = "failed_features"
"""XCom key, also of the result: the first features without statistics, each with its error."""

ON_ERROR = ("fail", "skip")


def report_problems(operator: BaseOperator, context: Context, problems: Sequence[Problem]) -> None:
    """Log which features have no statistics, and push them to XCom, so many of them as people read."""
    for problem in problems[:SHOWN]:
        operator.log.warning("no statistics of %s", problem)
    if len(problems) > SHOWN:
        operator.log.warning("... and of %d features more", len(problems) - SHOWN)
    if problems:
        failed = [problem.to_dict() for problem in problems[:SHOWN]]
        context["ti"].xcom_push(key=FAILED_FEATURES_KEY, value=failed)


def log_outcome(operator: BaseOperator, result: dict[str, Any]) -> None:
    """Log what is missing in the table, and what is in it."""
    if result["missing_intervals"]:
        operator.log.warning("%d intervals are missing: see state 'failed' in the table", result["missing_intervals"])
    operator.log.info(
        "%d rows of %d features, %.4g PU spent%s",
        result["rows"],
        result["features"],
        result["processing_units"],
        f", at {result['path']}" if "path" in result else "",
    )


def judge(problems: Sequence[Problem], result: dict[str, Any], on_error: str) -> None:
    """
    Fail the task where ``on_error`` or an empty table says so.

    :param on_error: one of :data:`ON_ERROR`.
    :raises SentinelHubBadRequestError: where another try would fail the same way.
    :raises SentinelHubResponseError: where it may not; answers that came stay for it.
    """
    missing = result["missing_intervals"]
    if result["features"] and (on_error == "skip" or not (problems or missing)):
        return
    kept = f"the table of the others is at {result['path']}" if "path" in result else "the other answers are kept"
    lost = [listed(problems)] if problems else []
    lost += [f"{number_of(missing, 'interval')} failed twice"] if missing else []
    message = f"{'; '.join(lost)}; {kept}, and a next attempt requests only what is missing."
    is_final = bool(problems) and not missing and all(problem.is_final for problem in problems)
    raise (SentinelHubBadRequestError if is_final else SentinelHubResponseError)(message)


def listed(problems: Sequence[Problem]) -> str:
    """Word the first of the problems, and count the others."""
    shown = "; ".join(str(problem).rstrip(".") for problem in problems[:NAMED])
    more = f"; and {len(problems) - NAMED:,} more" if len(problems) > NAMED else ""
    return f"{number_of(len(problems), 'feature')} without statistics: {shown}{more}"


def number_of(count: int, what: str) -> str:
    """Count things, as in ``1 feature`` and ``2 features``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
