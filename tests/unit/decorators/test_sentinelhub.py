"""``@task.sentinelhub`` without a service: what the function gets, what it may return, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from task_instance import PICTURE

from sentinelhub_provider.decorators.sentinelhub import sentinelhub_task
from sentinelhub_provider.exceptions import SentinelHubRateLimitError
from sentinelhub_provider.operators.process import SentinelHubProcessOperator

ARGUMENTS: dict[str, Any] = {
    "collection": "sentinel-2-l2a",
    "evalscript": "ndvi",
    "time_range": ["2024-06-01", "2024-06-20"],
    "bbox": [400_000, 5_095_000, 403_200, 5_097_400],
    "crs": 32633,
    "resolution": 20,
}
REQUEST: dict[str, Any] = {
    "input": {"bounds": {"bbox": [14.0, 46.0, 14.1, 46.1]}, "data": [{"type": "sentinel-2-l2a"}]},
    "output": {"width": 8, "height": 8, "responses": [{"identifier": "default", "format": {"type": "image/tiff"}}]},
    "evalscript": '//VERSION=3\nfunction setup() { return {input: ["B04"], output: {bands: 1}} }\n'
    "function evaluatePixel(s) { return [s.B04] }",
}


class Hook:
    """Knows a deployment, and raises where a picture is to come."""

    def __init__(self, error: Exception | None = None) -> None:
        self.settings = SimpleNamespace(deployment=SimpleNamespace(name="sentinel-hub"))
        self.sent: list[dict[str, Any]] = []
        self.meter = SimpleNamespace(spent=None)
        self.paths: list[str] = []
        self._error = error

    def download(self, method: str, endpoint: str, path: Any, **arguments: Any) -> Any:
        """Note the request, and raise."""
        self.sent.append(arguments["json"])
        self.paths.append(str(path))
        raise self._error or SentReachedError


class SentReachedError(Exception):
    """The request was on its way."""


def operator_of(function: Callable[..., Any], *args: Any, called_with: dict[str, Any] | None = None, **decorator: Any):
    """Decorate a function, call it in a DAG, and return the task."""
    with DAG("d", schedule=None):
        return task.sentinelhub(**decorator)(function)(*args, **(called_with or {})).operator


def execute(operator: Any, hook: Hook | None = None, **context: Any) -> Hook:
    """Run the task until its request is on its way."""
    hook = hook or Hook()
    vars(operator)["hook"] = hook
    known = {"ti": SimpleNamespace(xcom_push=lambda key, value: None), "ds": "2024-06-08", **context}
    operator.render_template_fields(known)
    with pytest.raises(SentReachedError):
        operator.execute(known)
    return hook


def refusal(operator: Any) -> str:
    """Run the task, which is to fail for good with nothing sent; return what it says."""
    hook = Hook()
    vars(operator)["hook"] = hook
    with pytest.raises(AirflowFailException) as refused:
        operator.execute({"ti": SimpleNamespace(xcom_push=lambda key, value: None), "ds": "2024-06-08"})
    assert hook.sent == []
    return str(refused.value)


def test_airflow_offers_the_decorator():
    """The provider registers it, and it makes the Process operator's kind of task."""
    operator = operator_of(lambda: REQUEST, task_id="picture", output_path="/nowhere/a.tif")

    assert isinstance(operator, SentinelHubProcessOperator)
    assert operator.operator_name == "@task.sentinelhub"
    assert task.sentinelhub is not None


def test_json_is_sent_as_it_is():
    """A mapping with ``input`` is the API's own request."""
    assert execute(operator_of(lambda: REQUEST, task_id="t", output_path="/nowhere/a.tif")).sent == [REQUEST]


def test_arguments_make_the_operators_request(tmp_path):
    """The same body as the operator's own, with the time that only the function knows."""
    operator = operator_of(
        lambda: {"time_range": ["2024-06-01", "2024-06-20"]},
        task_id="t",
        output_path=str(tmp_path / "a.tif"),
        **{**ARGUMENTS, "time_range": ["2020-06-01", "2020-06-20"]},
    )
    classic = SentinelHubProcessOperator(task_id="c", output_path=str(tmp_path / "a.tif"), **ARGUMENTS)

    assert execute(operator).sent == execute(classic).sent


def test_function_gets_hook_context_and_its_own_arguments():
    """In any order, and only what it names."""
    got: dict[str, Any] = {}

    def picture(hook, area, *, ds, year=2024, unknown="default"):
        got.update(hook=hook, area=area, ds=ds, year=year, unknown=unknown)
        return REQUEST

    operator = operator_of(picture, output_path="/nowhere/a.tif", called_with={"area": "north {{ ds }}"})
    hook = execute(operator, run_id="monday")

    assert got == {"hook": hook, "area": "north 2024-06-08", "ds": "2024-06-08", "year": 2024, "unknown": "default"}
    assert operator.op_kwargs == {"area": "north 2024-06-08"}


def test_function_with_open_arguments_gets_all():
    """``**context`` holds the hook, too."""
    got: dict[str, Any] = {}

    def picture(area, **context):
        got.update(context)
        return REQUEST

    hook = execute(operator_of(picture, "north", output_path="/nowhere/a.tif"), run_id="monday")

    assert got["hook"] is hook
    assert got["run_id"] == "monday"


def test_function_may_name_the_path():
    """What it returns comes before what the decorator says, and templates in it are rendered."""
    operator = operator_of(
        lambda: {"output_path": "/nowhere/{{ ds }}.tif"}, task_id="t", output_path="/elsewhere/a.tif", **ARGUMENTS
    )

    assert execute(operator).paths == ["/nowhere/2024-06-08.tif"]


def test_path_that_ends_like_a_template_file_is_none():
    """A path and an argument that end with ``.json`` name no file to load, nor does JavaScript hold Jinja's blocks."""
    script = REQUEST["evalscript"] + "\nconst CHOICE = {'a': [1, {}]}; // {% {#"

    def picture(name):
        return {"output_path": name, "request": {**REQUEST, "evalscript": script}}

    hook = execute(operator_of(picture, "/nowhere/a.json"))

    assert hook.paths == ["/nowhere/a.json"]
    assert hook.sent == [{**REQUEST, "evalscript": script}]


def test_files_beside_the_dag_are_loaded(tmp_path):
    """Whether the decorator or the function names them."""
    (tmp_path / "red.js").write_text(REQUEST["evalscript"])
    (tmp_path / "red.json").write_text(json.dumps(REQUEST))
    with DAG("d", schedule=None, template_searchpath=[str(tmp_path)]):
        decorated = task.sentinelhub(output_path="/nowhere/a.tif")
        script = decorated(lambda: {**ARGUMENTS, "evalscript": "red.js"}).override(task_id="script")().operator
        whole = decorated(lambda: {"request": "red.json"}).override(task_id="whole")().operator

    assert execute(script).sent[0]["evalscript"] == REQUEST["evalscript"]
    assert execute(whole).sent == [REQUEST]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, "the function returned nothing. Return a dict"),
        ("{}", "the function returned a str. Return a dict"),
        ({"colection": "sentinel-2-l2a"}, "returned 'colection', which is not an .* Did you mean 'collection'"),
        ({"task_id": "t"}, "returned 'task_id', which is not an argument of SentinelHubProcessOperator"),
        ({"sentinelhub_conn_id": "other"}, "returned sentinelhub_conn_id, which is needed before it runs"),
        ({"max_wait": 1}, "returned max_wait, which is needed before it runs"),
        ({"dag_run_budget": 1}, "returned dag_run_budget, which is needed before it runs"),
        ({"over_budget": "wait"}, "returned over_budget, which is needed before it runs"),
        ({**ARGUMENTS}, "output_path is missing. Give it to @task.sentinelhub"),
        ({**ARGUMENTS, "output_path": "/nowhere/a.tif", "resolution": None}, "the size is missing"),
        ({**ARGUMENTS, "output_path": "/nowhere/a.tif", "request": REQUEST}, "request is given, and collection"),
        ({**ARGUMENTS, "output_path": "/nowhere/a.tif", "max_processing_units": 0.001}, "more than max_processing_un"),
    ],
    ids=["nothing", "text", "typo", "task", "connection", "wait", "run", "over", "path", "size", "both", "budget"],
)
def test_bad_answer_is_named_before_anything_is_sent(returned, words):
    """And no retry is spent on it; checks of the request are the operator's own."""
    assert re.search(words, refusal(operator_of(lambda: returned, task_id="t")), re.DOTALL)


@pytest.mark.parametrize("where", ["returned", "given"])
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("bbox", object()), ("time_range", 3.5), ("width", "wide"), ("evalscript", 3.5), ("collection", object())),
        *(("if_exists", 3), ("tile", "perhaps"), ("on_empty", []), ("samples", "many"), ("repeat_silent", "perhaps")),
    ],
)
def test_a_value_of_a_wrong_type_is_named(name: str, wrong: Any, where: str):
    """Whether the function returns it or the decorator gets it; nothing is sent."""
    good = {**PICTURE, "output_path": "/nowhere/a.tif", name: wrong}
    returned, given = ({}, good) if where == "given" else (good, {})

    def picture():
        return returned

    operator, hook = operator_of(picture, **given), Hook()
    vars(operator)["hook"] = hook

    with pytest.raises(AirflowFailException, match=name):
        operator.execute({"ti": SimpleNamespace(xcom_push=lambda key, value: None)})
    assert hook.sent == []


def test_every_argument_of_the_operator_may_be_returned():
    """But for those that are needed before; also those that all operators of this package have."""
    from sentinelhub_provider.decorators.sentinelhub import _allowed

    assert _allowed() == {*SentinelHubProcessOperator.template_fields, "deferrable"} - {
        "dag_run_budget",
        "max_wait",
        "over_budget",
        "sentinelhub_conn_id",
    }


def test_errors_of_the_function_are_its_own():
    """They reach Airflow unchanged."""

    def picture():
        raise KeyError("area")

    operator = operator_of(picture, output_path="/nowhere/a.tif")
    vars(operator)["hook"] = Hook()
    with pytest.raises(KeyError, match="area"):
        operator.execute({})


def test_coroutine_function_is_refused_in_the_dag():
    """Where its author sees it."""

    async def picture():
        return REQUEST

    with pytest.raises(TypeError, match=r"picture is async\. @task\.sentinelhub takes a plain function"):
        operator_of(picture, output_path="/nowhere/a.tif")


def test_a_second_hook_is_refused_in_the_dag():
    """The name is taken."""

    def picture(hook):
        return REQUEST

    with pytest.raises(TypeError, match=r"picture\(\) gets its hook from @task\.sentinelhub"):
        operator_of(picture, output_path="/nowhere/a.tif", called_with={"hook": "mine"})


def test_missing_argument_is_refused_in_the_dag():
    """As Airflow does it for any task; the hook is none of them."""

    def picture(hook, area):
        return REQUEST

    with pytest.raises(TypeError, match="'area'"):
        operator_of(picture, output_path="/nowhere/a.tif")


def test_long_wait_is_spent_in_the_triggerer_and_the_function_called_again():
    """What it returned is gone with the worker that held it, and is not left in Airflow's database."""
    calls: list[int] = []

    def picture():
        calls.append(1)
        return REQUEST

    operator = operator_of(picture, output_path="/nowhere/a.tif", deferrable=True)
    vars(operator)["hook"] = Hook(SentinelHubRateLimitError("later", retry_after=300.0))
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": SimpleNamespace(xcom_push=lambda key, value: None)})
    again = operator_of(picture, output_path="/nowhere/a.tif", deferrable=True)
    vars(again)["hook"] = Hook()
    with pytest.raises(SentReachedError):
        getattr(again, deferred.value.method_name)(
            {"ti": SimpleNamespace(xcom_push=lambda key, value: None)}, None, **deferred.value.kwargs
        )

    assert set(deferred.value.kwargs) == {"waits_until", "spent", "ends"}
    assert len(calls) == 2


def test_annotation_of_the_function_splits_no_result():
    """``-> dict`` describes the request; the task's result is one XCom unless the DAG's author says otherwise."""

    def picture() -> dict[str, Any]:
        return REQUEST

    assert operator_of(picture, output_path="/nowhere/a.tif").multiple_outputs is False
    assert operator_of(picture, output_path="/nowhere/a.tif", multiple_outputs=True).multiple_outputs is True


def test_function_may_be_mapped_overridden_and_half_filled():
    """As that of any TaskFlow task: ``expand``, ``partial``, ``override``."""

    def picture(hook, area, year):
        return {**ARGUMENTS, "output_path": f"/nowhere/{area}-{year}.tif"}

    decorated = sentinelhub_task(picture, retries=1)
    with DAG("d", schedule=None):
        mapped = decorated.override(task_id="mapped", retries=4).partial(year=2024).expand(area=["north", "south"])
    operator = mapped.operator
    assert operator.retries == 4

    one = operator.unmap({"op_kwargs": {"area": "south"}})

    assert execute(one).paths == ["/nowhere/south-2024.tif"]
