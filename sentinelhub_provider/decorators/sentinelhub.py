"""``@task.sentinelhub`` turns a function into a Process operator. The function describes the picture."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, DecoratedOperator, task_decorator_factory

try:
    from airflow.sdk.bases.decorator import determine_kwargs
except ImportError:  # Airflow 3.1
    from airflow.utils.operator_helpers import determine_kwargs  # type: ignore[attr-defined]

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.operators.process import SentinelHubProcessOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskDecorator

    from sentinelhub_provider.operators.argument_types import FilePath

HOOK = "hook"  # the function's argument for the hook

NEEDED_BEFORE = ("dag_run_budget", "max_wait", "over_budget", "sentinelhub_conn_id")
"""Arguments that the operator needs before the function runs, so the function cannot return them."""


class _SentinelHubDecoratedOperator(DecoratedOperator, SentinelHubProcessOperator):
    """Calls a function and renders the picture that it describes.

    The function gets its own arguments and the values of the task's context that it names. If it names ``hook``, it
    gets a :class:`~sentinelhub_provider.hooks.sentinelhub.SentinelHubHook` of the task's connection. It returns either
    the Process API's JSON (a mapping with ``input``) or arguments of the Process operator. These come before the
    arguments of the decorator. Templates in the result are rendered. After a wait in the triggerer, the function is
    called again.

    :param python_callable: the function.
    :param op_args: its positional arguments. (templated)
    :param op_kwargs: its keyword arguments. (templated)
    :param output_path: as in the Process operator. The function may return it instead. (templated)
    :param kwargs: further arguments of the Process operator.
    :raises TypeError: for a coroutine function, and if ``hook`` is given.
    """

    custom_operator_name = "@task.sentinelhub"
    overwrite_rtif_after_execution = True

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        output_path: FilePath | None = None,
        **kwargs: Any,
    ) -> None:
        if inspect.iscoroutinefunction(python_callable):
            raise TypeError(f"{python_callable.__name__} is async. @task.sentinelhub takes a plain function.")
        own = dict(op_kwargs or {})
        if HOOK in own:
            raise TypeError(f"{python_callable.__name__}() gets its {HOOK} from @task.sentinelhub. Do not pass one.")
        # Airflow binds the function's arguments now. The hook comes when the task runs.
        later = {HOOK: None} if HOOK in inspect.signature(python_callable).parameters else {}
        super().__init__(
            python_callable=python_callable, op_args=op_args, op_kwargs=own | later, output_path=output_path, **kwargs
        )
        self.op_kwargs = own

    def _result(self, context: Context) -> dict[str, Any]:
        returned = _arguments(self._call(context))
        for name, value in returned.items():
            setattr(self, name, value)
        templated = [name for name in self.template_fields if name in returned]
        self._do_render_template_fields(self, templated, context, self.get_template_env(), set())
        if self.output_path is None:
            raise SentinelHubRequestError(
                "output_path is missing. Give it to @task.sentinelhub, or let the function return it with other "
                "arguments of the Process operator."
            )
        return super()._result(context)

    def _call(self, context: Context) -> Any:
        known = {**context, **self.op_kwargs, HOOK: self.hook}
        return self.python_callable(*self.op_args, **determine_kwargs(self.python_callable, self.op_args, known))


def _arguments(returned: Any) -> dict[str, Any]:
    """Return the result of a function as arguments of the Process operator."""
    if not isinstance(returned, Mapping):
        what = "nothing" if returned is None else f"a {type(returned).__name__}"
        raise SentinelHubRequestError(
            f"the function returned {what}. Return a dict with the Process API's JSON, or with arguments of "
            "SentinelHubProcessOperator, such as {'bbox': [...], 'resolution': 10}.",
            field="request",
        )
    if "input" in returned:
        return {"request": dict(returned)}
    allowed = _allowed()
    for name in returned:
        if name in NEEDED_BEFORE:
            raise SentinelHubRequestError(
                f"the function returned {name}, which is needed before it runs. Give it to @task.sentinelhub.",
                field=name,
            )
        if name not in allowed:
            nearest = difflib.get_close_matches(str(name), allowed, n=1)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"It takes {', '.join(sorted(allowed))}."
            raise SentinelHubRequestError(
                f"the function returned {name!r}, which is not an argument of SentinelHubProcessOperator. {hint} The "
                "Process API's JSON has 'input' at its top.",
                field="request",
            )
    return dict(returned)


def _allowed() -> set[str]:
    """Return the arguments of the Process operator that a function may return.

    Arguments of all operators are left out.
    """
    kinds = [kind for kind in SentinelHubProcessOperator.__mro__ if issubclass(kind, BaseOperator)]
    own = {name for kind in kinds for name in inspect.signature(kind.__init__).parameters}
    return own - set(inspect.signature(BaseOperator.__init__).parameters) - {"kwargs", *NEEDED_BEFORE}


def sentinelhub_task(
    python_callable: Callable[..., Any] | None = None, *, multiple_outputs: bool = False, **kwargs: Any
) -> TaskDecorator:
    """Make a function a task that renders a picture with the Process API: ``@task.sentinelhub``.

    .. seealso:: :doc:`/how-to/taskflow`

    :param python_callable: the function. It returns a request, see :doc:`/how-to/taskflow`.
    :param multiple_outputs: whether each member of the task's result is an XCom of its own, so that ``picture["path"]``
        works in the DAG. The function's annotation does not count here, because it describes the request and not the
        result.
    :param kwargs: arguments of :class:`~sentinelhub_provider.operators.process.SentinelHubProcessOperator` that the
        function does not return.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_SentinelHubDecoratedOperator,
        **kwargs,
    )
