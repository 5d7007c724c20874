"""The HTTP operator: templates, answers, files, pages and errors, by itself and through Airflow's own machinery."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import task_instance
from airflow.sdk.exceptions import AirflowFailException
from loopback import Reply, loopback_server
from task_instance import TaskInstance

from sentinelhub_provider.exceptions import (
    SentinelHubRateLimitError,
    SentinelHubResponseError,
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.operators.http import SentinelHubHttpOperator

ROOT = Path(__file__).parents[2]
PROCESS = "/process/v1"
SEARCH = "/catalog/v1/search"
SEARCH_BODY = {
    "collections": ["sentinel-2-l2a"],
    "bbox": [14, 46, 14.1, 46.1],
    "datetime": "2024-06-01T00:00:00Z/2024-06-30T00:00:00Z",
    "limit": 2,
}
TRICKY_EVALSCRIPT = """//VERSION=3
// {# not a comment of Jinja's #} {% not a block either %}
function setup() { return { input: ["B04"], output: { bands: 1 } } }
var gain = {a: {b: 1}}; // {{ ds }}
function evaluatePixel(sample) { if (sample.B04 %2) {return [1]} return [sample.B04 * gain.a.b] }
"""


NAMES = {"ds": "2024-06-01", "name": "B04", "params": {}}
"""What the templates here read."""


@pytest.fixture(name="run")
def fixture_run(connect, ti: TaskInstance, operators, tmp_path: Path, waits) -> Callable[..., Any]:
    """Render and execute an operator made of these arguments, as a task would."""
    connect()

    def run(*, native: bool = False, **arguments: Any) -> Any:
        context = {"ti": ti, **NAMES}
        operator = task_instance.rendered(SentinelHubHttpOperator, context, tmp_path, native=native, **arguments)
        operators.append(operator)
        operator.hook.get_conn()._sleep = waits.sleep
        return operator.execute(context)

    return run


def rendered(tmp_path: Path, **arguments: Any) -> SentinelHubHttpOperator:
    """Return an operator with its templates filled in."""
    given = {"endpoint": PROCESS, **arguments}
    return task_instance.rendered(SentinelHubHttpOperator, NAMES, tmp_path, **given)


# --- templates -------------------------------------------------------------------------------------------------------


def test_every_field_of_a_request_is_a_template(tmp_path: Path):
    """Down to the leaves of the JSON body."""
    operator = rendered(
        tmp_path,
        endpoint="/x/{{ ds }}",
        json={"a": ["{{ ds }}", {"{{ ds }}": "{{ name }}"}], "n": 1},
        query_params={"day": "{{ ds }}"},
        headers={"X-Day": "{{ ds }}"},
        accept="image/{{ name }}",
        output_path="/data/{{ ds }}.tiff",
        sentinelhub_conn_id="conn_{{ name }}",
        files={"a": (None, "{{ ds }}")},
        data="{{ ds }}",
    )

    assert operator.endpoint == "/x/2024-06-01"
    assert operator.json["a"][0] == "2024-06-01"
    assert operator.json["n"] == 1
    assert operator.query_params == {"day": "2024-06-01"}
    assert operator.headers == {"X-Day": "2024-06-01"}
    assert operator.accept == "image/B04"
    assert operator.output_path == "/data/2024-06-01.tiff"
    assert operator.sentinelhub_conn_id == "conn_B04"
    assert operator.files == {"a": (None, "2024-06-01")}
    assert operator.data == "2024-06-01"


def test_javascript_is_left_alone_but_for_double_braces(tmp_path: Path):
    """``{%`` and ``{#`` occur in scripts, and mean something else there."""
    expected = TRICKY_EVALSCRIPT.replace("{{ ds }}", "2024-06-01").rstrip("\n")

    assert rendered(tmp_path, evalscript=TRICKY_EVALSCRIPT).evalscript.rstrip("\n") == expected
    nested = rendered(tmp_path, json={"evalscript": TRICKY_EVALSCRIPT}).json
    assert nested["evalscript"].rstrip("\n") == expected


@pytest.mark.parametrize("where", ["evalscript", "json", "nested"])
def test_javascript_file_is_loaded_and_left_alone(tmp_path: Path, where: str):
    """By its name, beside the DAG."""
    (tmp_path / "ndvi.js").write_text(TRICKY_EVALSCRIPT)
    expected = TRICKY_EVALSCRIPT.replace("{{ ds }}", "2024-06-01").rstrip("\n")
    if where == "evalscript":
        found = rendered(tmp_path, evalscript="ndvi.js").evalscript
    elif where == "json":
        found = rendered(tmp_path, json={"evalscript": "ndvi.js"}).json["evalscript"]
    else:
        found = rendered(tmp_path, json={"a": [{"evalscript": "ndvi.js"}]}).json["a"][0]["evalscript"]

    assert found.rstrip("\n") == expected


def test_json_file_is_a_template(tmp_path: Path):
    """Its text is what Jinja makes of it."""
    (tmp_path / "search.json").write_text('{"datetime": "{{ ds }}" {% if true %}, "limit": 2{% endif %}}')

    assert json.loads(rendered(tmp_path, json="search.json").json) == {"datetime": "2024-06-01", "limit": 2}


def test_fields_that_hold_no_request_name_no_file(tmp_path: Path):
    """``output_path="items.json"`` is written, not read."""
    operator = rendered(
        tmp_path, output_path="{{ ds }}/items.json", endpoint="/files/a.js", headers={"X": "a.json"}, accept="x.json"
    )

    assert operator.output_path == "2024-06-01/items.json"
    assert operator.endpoint == "/files/a.js"
    assert operator.headers == {"X": "a.json"}


def test_missing_template_file_is_named(tmp_path: Path):
    """While the DAG is parsed."""
    from jinja2 import TemplateNotFound

    with pytest.raises(TemplateNotFound, match=r"missing\.js"):
        rendered(tmp_path, evalscript="missing.js")


def test_extensions_are_in_force_again_after_rendering(tmp_path: Path):
    """They are put aside for some fields only."""
    assert tuple(rendered(tmp_path, output_path="a.json").template_ext) == (".js", ".json")


def test_renderers_are_declared_for_templated_fields():
    """The UI shows JSON and JavaScript readably."""
    operator = SentinelHubHttpOperator
    assert set(operator.template_fields_renderers) <= set(operator.template_fields)
    assert operator.template_fields_renderers["evalscript"] == "js"


# --- answers ---------------------------------------------------------------------------------------------------------


def test_json_answer_is_the_result(run, ti: TaskInstance):
    """Decoded, ready for the next task."""
    assert run(endpoint="/catalog/v1/collections")["collections"]


def test_filter_takes_what_is_needed(run):
    """XCom is no place for the rest."""
    result = run(
        method="POST",
        endpoint=SEARCH,
        json=SEARCH_BODY,
        response_filter=lambda answer: [item["id"] for item in answer["features"]],
    )

    assert len(result) == 2
    assert all(isinstance(name, str) for name in result)


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_json_may_be_text(run, tmp_path: Path, native: bool):
    """As a template file holds it; with native rendering it arrives as an object."""
    (tmp_path / "search.json").write_text(json.dumps(SEARCH_BODY).replace("2024-06-01T", "{{ ds }}T"))

    assert run(method="POST", endpoint=SEARCH, json="search.json", native=native)["features"]


def test_pages_are_joined(run, sentinelhub_sandbox):
    """All scenes of a month, two at a time."""
    one_page = run(method="POST", endpoint=SEARCH, json={**SEARCH_BODY, "limit": 100})
    before = sentinelhub_sandbox.control.counters().requests[SEARCH]
    result = run(method="POST", endpoint=SEARCH, json=SEARCH_BODY, paginate=True)
    pages = sentinelhub_sandbox.control.counters().requests[SEARCH] - before

    assert [item["id"] for item in result["features"]] == [item["id"] for item in one_page["features"]]
    assert len(result["features"]) > 2
    assert pages == -(-len(result["features"]) // 2)
    assert result["context"] == {"returned": len(result["features"])}
    assert "links" not in result


def test_pages_that_are_there_are_kept_in_a_wait_for_the_rate_limit(run, sentinelhub_sandbox, waits):
    """A deferrable task waits on its worker then: in the triggerer it would lose them, and pay for them again."""
    limited = []

    def limit_the_third(_: Any) -> bool:
        limited.append(None)
        if len(limited) == 2:
            action = {"kind": "rate_limit", "retry_after": "90000"}
            sentinelhub_sandbox.control.add_fault(path=SEARCH, action=action)
        return True

    arguments = {"method": "POST", "endpoint": SEARCH, "json": SEARCH_BODY, "paginate": True, "deferrable": True}
    result = run(response_check=limit_the_third, **arguments)

    requests = sentinelhub_sandbox.control.counters().requests[SEARCH]
    assert requests == -(-len(result["features"]) // 2) + 1
    assert max(waits.waits) > 60


@pytest.mark.parametrize(("repeat_silent", "times"), [("{{ 'false' }}", "once"), (True, "twice")])
def test_silence_that_may_cost_is_repeated_as_the_task_says(run, sentinelhub_sandbox, repeat_silent: Any, times: str):
    """Once at most; the error says that each may have been charged."""
    sentinelhub_sandbox.control.add_fault(path="/process/v1", action={"kind": "silence", "seconds": 30}, times=None)
    arguments = {"method": "POST", "endpoint": "/process/v1", "json": {}, "accept": "application/json"}

    with pytest.raises(SentinelHubTransportError, match=f"sent {times}, and the service may have charged"):
        run(**arguments, timeout=0.3, repeat_silent=repeat_silent)


@pytest.mark.parametrize(
    "query",
    [
        {"count": 1, "n": [1, 2]},
        '{"count": 1, "n": [1, 2]}',
        "count=1&n=1&n=2",
        "?count=1&n=1&n=2",
        [("count", 1), ("n", 1), ("n", 2)],
        [("count", 1), ("n", [1, 2])],
    ],
    ids=str,
)
def test_query_may_be_spelled_as_users_have_it(connect, ti: TaskInstance, query: Any):
    """As a dict, its JSON, text, or pairs; it is the same on each page. Header fields may be JSON, too."""
    following = [{"nextToken": "t"}, {}]
    with loopback_server(lambda _: Reply(body=json.dumps({"data": [1], "links": following.pop(0)}).encode())) as server:
        connect(host=server.url)
        arguments = {"query_params": query, "headers": '{"X-Day": "1"}', "paginate": True}
        operator = SentinelHubHttpOperator(task_id="t", endpoint="/byoc/v1/collections", **arguments)
        with operator.hook.get_conn():
            assert operator.execute({"ti": ti}) == {"data": [1, 1]}  # type: ignore[typeddict-item]

        asked = "/byoc/v1/collections?count=1&n=1&n=2"
        assert [request.path for request in server.requests] == [asked, f"{asked}&viewtoken=t"]
        assert {request.headers["X-Day"] for request in server.requests} == {"1"}


def test_too_many_pages_are_an_error(run):
    """Not a shorter result."""
    with pytest.raises(AirflowFailException, match="more than max_pages=1 pages"):
        run(method="POST", endpoint=SEARCH, json=SEARCH_BODY, paginate=True, max_pages=1)


def test_page_that_points_to_itself_is_an_error(connect, ti: TaskInstance):
    """It would go on for ever."""
    with loopback_server(lambda _: Reply(body=b'{"data": [1], "links": {"nextToken": "t"}}')) as server:
        connect(host=server.url)
        operator = SentinelHubHttpOperator(task_id="t", endpoint="/byoc/v1/collections", paginate=True)
        with operator.hook.get_conn(), pytest.raises(SentinelHubResponseError, match="to itself"):
            operator.execute({"ti": ti})  # type: ignore[typeddict-item]

        assert [request.path for request in server.requests] == [
            "/byoc/v1/collections",
            "/byoc/v1/collections?viewtoken=t",
        ]


def test_large_result_is_refused(run):
    """With the three ways out."""
    with pytest.raises(AirflowFailException, match="max_xcom_size=100") as error:
        run(endpoint="/catalog/v1/collections", max_xcom_size=100)

    assert "response_filter" in str(error.value)
    assert "output_path" in str(error.value)


@pytest.mark.parametrize("verdict", [True, 1, "yes", False, None, 0, "", []], ids=repr)
def test_check_may_refuse_an_answer(run, verdict: Any):
    """Whatever counts as false does, as in Airflow's own HTTP operator."""

    def check(response: Any) -> Any:
        assert response.status_code == 200
        return verdict

    if verdict:
        assert run(endpoint="/catalog/v1/collections", response_check=check)
    else:
        with pytest.raises(SentinelHubResponseError, match="response_check refused"):
            run(endpoint="/catalog/v1/collections", response_check=check)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(204, body=b""), None),
        (Reply(headers={"Content-Type": "text/plain; charset=utf-8"}, body="grün".encode()), "grün"),
        (Reply(headers={"Content-Type": "application/geo+json"}, body=b'{"a": 1}'), {"a": 1}),
    ],
    ids=["empty", "text", "geojson"],
)
def test_answer_is_decoded_by_its_type(connect, ti: TaskInstance, reply: Reply, expected: Any):
    """JSON, text, or nothing."""
    with loopback_server(lambda _: reply) as server:
        connect(host=server.url)
        operator = SentinelHubHttpOperator(task_id="t", endpoint="/x")
        with operator.hook.get_conn():
            assert operator.execute({"ti": ti}) == expected  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (Reply(headers={"Content-Type": "image/png"}, body=b"\x89PNG\r\n\x1a\n"), AirflowFailException, "output_path"),
        (Reply(body=b"{broken"), SentinelHubResponseError, "something other than JSON"),
    ],
    ids=["file", "broken-json"],
)
def test_answer_that_cannot_go_into_xcom(connect, ti: TaskInstance, reply: Reply, kind: Any, message: str):
    """It says what to do instead."""
    with loopback_server(lambda _: reply) as server:
        connect(host=server.url)
        operator = SentinelHubHttpOperator(task_id="t", endpoint="/x")
        with operator.hook.get_conn(), pytest.raises(kind, match=message):
            operator.execute({"ti": ti})  # type: ignore[typeddict-item]


# --- files -----------------------------------------------------------------------------------------------------------


def test_picture_goes_to_a_file(run, ti: TaskInstance, tmp_path: Path, process_request: dict[str, Any]):
    """XCom gets what describes it; what it cost is there by its own name as well."""
    result = run(
        method="POST",
        endpoint=PROCESS,
        json=process_request,
        accept="image/png",
        output_path=f"{tmp_path}/{{{{ ds }}}}/ndvi.png",
    )

    path = tmp_path / "2024-06-01" / "ndvi.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert set(result) == {"path", "size", "sha256", "content_type", "processing_units", "url"}
    assert (result["path"], result["size"]) == (str(path), path.stat().st_size)
    assert ti.pushed["processing_units"] == result["processing_units"]
    assert json.dumps(result)


def test_evalscript_may_stand_by_itself(run, tmp_path: Path, process_request: dict[str, Any]):
    """As an argument or a file of its own."""
    (tmp_path / "e.js").write_text(process_request.pop("evalscript"))

    result = run(
        method="POST", endpoint=PROCESS, json=process_request, evalscript="e.js", output_path=tmp_path / "a.png"
    )

    assert result["content_type"] == "image/png"


def test_multipart_request_is_sent(run, tmp_path: Path, process_request: dict[str, Any]):
    """The Process API's other form."""
    evalscript = process_request.pop("evalscript")
    files = {
        "request": (None, json.dumps(process_request), "application/json"),
        "evalscript": (None, evalscript, "application/javascript"),
    }

    result = run(method="POST", endpoint=PROCESS, files=files, output_path=f"{tmp_path}/a.png")

    assert result["content_type"] == "image/png"


def test_joined_pages_go_to_a_file(run, tmp_path: Path):
    """A long search is kept whole, beside XCom."""
    result = run(
        method="POST", endpoint=SEARCH, json=SEARCH_BODY, paginate=True, output_path=str(tmp_path / "items.json")
    )

    assert len(json.loads((tmp_path / "items.json").read_text())["features"]) > 2
    assert result["content_type"] == "application/json"


@pytest.mark.parametrize("endpoint", [PROCESS, "process/v1", "/api/v1/process"])
def test_picture_without_a_path_costs_nothing(run, sentinelhub_sandbox, process_request: dict[str, Any], endpoint: str):
    """That it cannot go into XCom is known before it is paid for."""
    with pytest.raises(AirflowFailException, match="Give output_path"):
        run(method="POST", endpoint=endpoint, json=process_request)
    assert sentinelhub_sandbox.control.counters().requests.get(PROCESS, 0) == 0


def test_path_that_cannot_be_written_costs_nothing(
    run, sentinelhub_sandbox, tmp_path: Path, process_request: dict[str, Any]
):
    """No processing unit is spent on a picture that cannot be stored."""
    with pytest.raises(AirflowFailException, match="cannot be written"):
        run(method="POST", endpoint=PROCESS, json=process_request, output_path=str(tmp_path))
    assert sentinelhub_sandbox.control.counters().requests.get(PROCESS, 0) == 0


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"json": "{broken"}, "json is not JSON"),
        ({"json": {"evalscript": "a"}, "evalscript": "b"}, "evalscript is given twice"),
        ({"json": [1], "evalscript": "b"}, "evalscript needs a JSON object"),
        ({"json": {}, "data": "x"}, "a request has one body"),
        ({"json": [1], "paginate": True}, "json is not a JSON object"),
        ({"data": "{}", "paginate": True}, "data is not a JSON object"),
        ({"files": {"a": "b"}, "paginate": True}, "files is not a JSON object"),
        ({"endpoint": ""}, "endpoint is empty"),
        ({"endpoint": None}, "endpoint is None"),
        ({"method": None}, "method is None"),
        ({"query_params": 5}, "query_params is 5"),
        ({"query_params": ["count"]}, "query_params is"),
        ({"headers": ["Accept"]}, "headers is"),
        ({"headers": "Accept"}, "headers is"),
        ({"response_filter": "len"}, "response_filter is 'len'"),
        ({"response_check": True}, "response_check is True"),
        ({"response_check": bool, "output_path": "a.json"}, "response_check needs the answer"),
        ({"response_filter": bool, "output_path": "a.json"}, "response_filter needs the answer"),
        ({"paginate": True, "output_path": "."}, "cannot be written"),
        ({"endpoint": "https://elsewhere.example/x"}, "allowed_hosts"),
    ],
)
def test_arguments_that_cannot_work_fail_at_once(run, sentinelhub_sandbox, arguments: dict[str, Any], message: str):
    """Without further retries, before anything is sent."""
    with pytest.raises(AirflowFailException, match=message):
        run(**{"method": "POST", "endpoint": SEARCH, **arguments})
    assert sentinelhub_sandbox.control.counters().requests.get(SEARCH, 0) == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "status", "status": 400}, AirflowFailException),
        ({"kind": "status", "status": 403}, AirflowFailException),
        ({"kind": "status", "status": 404}, AirflowFailException),
        ({"kind": "status", "status": 401}, AirflowFailException),
        ({"kind": "status", "status": 503}, SentinelHubServerError),
        ({"kind": "reset"}, SentinelHubTransportError),
        ({"kind": "html"}, SentinelHubResponseError),
        ({"kind": "rate_limit", "retry_after": "900000"}, SentinelHubRateLimitError),
    ],
    ids=lambda value: f"{value.get('status', value['kind'])}" if isinstance(value, dict) else value.__name__,
)
def test_only_errors_that_may_pass_are_retried(run, sentinelhub_sandbox, fault: dict[str, Any], kind: type[Exception]):
    """``AirflowFailException`` ends the task; anything else lets Airflow use its retries."""
    sentinelhub_sandbox.control.add_fault(path="/catalog/*", times=None, action=fault)

    with pytest.raises(kind) as error:
        run(endpoint="/catalog/v1/collections", deadline=60)  # seconds, less than the pause after a 429
    assert (error.type is AirflowFailException) is (kind is AirflowFailException)
    if kind is AirflowFailException:
        assert str(error.value) == str(error.value.__context__)


def test_nothing_is_looked_up_before_the_task_runs():
    """A DAG file is parsed where no connection can be had."""
    operator = SentinelHubHttpOperator(task_id="t", endpoint="/x", sentinelhub_conn_id="no_such_connection")

    assert "hook" not in vars(operator)
    assert operator.sentinelhub_conn_id == "no_such_connection"


# --- Airflow's own machinery -----------------------------------------------------------------------------------------

DAG_FILE = """
from datetime import datetime
from airflow.sdk import DAG, task
from sentinelhub_provider.operators.http import SentinelHubHttpOperator

REQUEST = {request!r}

with DAG("operator_dag", start_date=datetime(2024, 6, 1), schedule=None, params={{"collection": "sentinel-2-l2a"}}):
    search = SentinelHubHttpOperator(
        task_id="search",
        method="POST",
        endpoint="/catalog/v1/search",
        json="search.json",
        response_filter=lambda answer: [item["id"] for item in answer["features"]],
    )
    numbered = task(lambda names: [{{"output_path": f"{folder}/{{number}}.png"}} for number, _ in enumerate(names)])

    SentinelHubHttpOperator.partial(
        task_id="render", method="POST", endpoint="/api/v1/process", json=REQUEST, evalscript="tricky.js"
    ).expand_kwargs(numbered.override(task_id="numbered")(search.output))

    SentinelHubHttpOperator.partial(task_id="days", method="POST", endpoint="/catalog/v1/search").expand(
        json=[
            {{"collections": ["{{{{ params.collection }}}}"], "bbox": [14, 46, 14.1, 46.1], "limit": 1,
             "datetime": f"2024-06-{{day}}T00:00:00Z/.."}}
            for day in ("01", "15")
        ]
    )
    SentinelHubHttpOperator(task_id="final_error", endpoint="/nothing/here", retries=3)
"""


@pytest.fixture(name="dag_run", scope="module")
def fixture_dag_run(sentinelhub_sandbox_server, dag_runner, tmp_path_factory) -> dict[str, Any]:
    """Run a DAG once in a real Airflow and return what became of it."""
    server = sentinelhub_sandbox_server
    server.control.reset()
    home = tmp_path_factory.mktemp("operator-dag")
    dags = home / "dags"
    dags.mkdir()
    request = {
        "input": {"bounds": {"bbox": [14.0, 46.0, 14.1, 46.1]}, "data": [{"type": "{{ params.collection }}"}]},
        "output": {"width": 8, "height": 8, "responses": [{"identifier": "default", "format": {"type": "image/png"}}]},
    }
    (dags / "search.json").write_text(json.dumps({**SEARCH_BODY, "collections": ["{{ params.collection }}"]}))
    (dags / "tricky.js").write_text(TRICKY_EVALSCRIPT.replace("{{ ds }}", "{{ params.collection }}"))
    (dags / "operator_dag.py").write_text(DAG_FILE.format(request=request, folder=home))
    ran = dag_runner.run(server, dags, home, auth_cache="memory")
    found: dict[str, Any] = ran.runs["operator_dag"]
    found["log"] = ran.log
    found["logins"] = server.control.counters().token_requests
    found["tokens"] = server.control.tokens()
    return found


def test_airflow_runs_the_search(dag_run: dict[str, Any]):
    """Its body from a template file, its result in XCom."""
    assert dag_run["tasks"]["search[-1]"] == "success"
    assert len(dag_run["results"]["search[-1]"]) == 2


def test_airflow_maps_the_operator_over_results(dag_run: dict[str, Any]):
    """One picture for each scene, rendered from a JavaScript file with braces of all kinds."""
    for number in range(2):
        assert dag_run["tasks"][f"render[{number}]"] == "success", dag_run["log"][-3000:]
        assert dag_run["results"][f"render[{number}]"]["path"].endswith(f"/{number}.png")
        assert Path(dag_run["results"][f"render[{number}]"]["path"]).read_bytes().startswith(b"\x89PNG")


def test_airflow_renders_mapped_requests(dag_run: dict[str, Any]):
    """Also those that ``expand`` holds literally."""
    assert [dag_run["tasks"][f"days[{number}]"] for number in range(2)] == ["success", "success"]
    assert all(dag_run["results"][f"days[{number}]"]["features"] for number in range(2))


def test_airflow_wastes_no_retries_on_a_final_error(dag_run: dict[str, Any]):
    """Failed, not up for retry."""
    assert dag_run["tasks"]["final_error[-1]"] == "failed"
    assert "answered 404" in dag_run["log"]


def test_airflow_run_needs_one_login(dag_run: dict[str, Any]):
    """Six calls of one client in one process; neither secret nor token is in what was printed."""
    assert dag_run["logins"] == 1
    assert not any(token in dag_run["log"] for token in dag_run["tokens"])
