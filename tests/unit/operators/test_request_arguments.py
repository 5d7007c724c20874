"""The arguments of operators: declared once, templated, told apart from ``request``, and known to Airflow."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path, PurePath, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException
from jinja2 import TemplateNotFound
from task_instance import PICTURE

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.operators.async_process import SentinelHubAsyncProcessOperator
from sentinelhub_provider.operators.base import SentinelHubOperator
from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator
from sentinelhub_provider.operators.batch_statistics import SentinelHubBatchStatisticsOperator
from sentinelhub_provider.operators.byoc import (
    SentinelHubByocCreateCollectionOperator,
    SentinelHubByocDeleteCollectionOperator,
    SentinelHubByocDeleteTilesOperator,
    SentinelHubByocIngestOperator,
)
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.request_arguments import RequestOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator
from sentinelhub_provider.sensors.catalog import SentinelHubSceneSensor
from sentinelhub_provider.sensors.job import SentinelHubJobSensor

REQUIRED: Mapping[type[BaseOperator], dict[str, Any]] = {
    SentinelHubAsyncProcessOperator: {},
    SentinelHubBatchProcessOperator: {},
    SentinelHubBatchStatisticsOperator: {},
    SentinelHubCatalogSearchOperator: {"collection": "sentinel-2-l2a"},
    SentinelHubHttpOperator: {"endpoint": "/process/v1"},
    SentinelHubProcessOperator: {"output_path": "a.tif"},
    SentinelHubStatisticsOperator: {},
    SentinelHubSceneSensor: {"collection": "sentinel-2-l2a"},
    SentinelHubJobSensor: {"kind": "batch-process", "job_id": "1"},
}
BY_REQUEST = [kind for kind in REQUIRED if issubclass(kind, RequestOperator)]
NOT_TEMPLATED = {"deferrable", "response_check", "response_filter", "poke_interval"}
"""Arguments that are no data: how the task waits, and functions."""

NAMED = {
    SentinelHubStatisticsOperator: (
        "width height percentiles histogram calculations mosaicking_order upsampling downsampling last_interval "
        "id_property output_format on_error max_processing_units samples"
    ),
    SentinelHubBatchProcessOperator: (
        "buffer overwrite skip_existing cog cog_parameters create_collection id_property max_processing_units samples"
    ),
    SentinelHubCatalogSearchOperator: "sort one_per max_processing_units",
    SentinelHubProcessOperator: "if_exists mosaic tile tile_size max_processing_units samples",
    SentinelHubHttpOperator: "method",
    SentinelHubJobSensor: "kind",
    SentinelHubAsyncProcessOperator: "max_processing_units samples",
    SentinelHubBatchStatisticsOperator: "max_processing_units samples percentiles histogram calculations id_property",
}
kinds = pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.__name__)


def arguments_of(kind: type[BaseOperator]) -> dict[str, inspect.Parameter]:
    """Return the arguments of this package that an operator takes, read from every ``__init__`` on its way up."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if base in (BaseOperator, BaseSensorOperator):
            break
        if "__init__" in vars(base):
            found = dict(inspect.signature(base.__init__).parameters) | found
    return {name: one for name, one in found.items() if one.kind is one.KEYWORD_ONLY}


@kinds
def test_every_argument_is_a_template(kind: type[BaseOperator], tmp_path: Path):
    """But for functions and the way to wait; rendered in a DAG by Airflow itself."""
    names = set(arguments_of(kind)) - NOT_TEMPLATED
    with DAG("d", schedule=None, template_searchpath=[str(tmp_path)]):
        operator = kind(task_id="t", **{name: f"{name} {{{{ ds }}}}" for name in names})
    operator.resolve_template_files()
    operator.render_template_fields({"ds": "2024-06-01"})  # type: ignore[typeddict-item]

    assert {name: getattr(operator, name) for name in names} == {name: f"{name} 2024-06-01" for name in names}
    assert set(NAMED.get(kind, "").split()) <= names
    assert len(kind.template_fields) == len(set(kind.template_fields))


@kinds
def test_the_signature_shows_every_argument(kind: type[BaseOperator]):
    """To ``help()``, notebooks and editors that ask Python; with the defaults that hold."""
    shown = inspect.signature(kind).parameters
    declared = arguments_of(kind)

    assert set(shown) == {*declared, "kwargs"}
    assert {name: one.default for name, one in declared.items()} == {name: shown[name].default for name in declared}


@pytest.mark.parametrize("kind", BY_REQUEST, ids=lambda kind: kind.__name__)
def test_defaults_are_those_of_the_builder(kind: type[RequestOperator]):
    """An argument that was left out means the same to both."""
    shown = inspect.signature(kind).parameters
    for one in fields(kind.described_by):
        assert one.name == "collection" or shown[one.name].default == one.default


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, id=f"{kind.__name__}-{name}")
        for kind in BY_REQUEST
        for name in [*(one.name for one in fields(kind.described_by)), *kind.also_described_by]
    ],
)
def test_nothing_that_describes_a_request_goes_with_a_whole_one(kind: type[RequestOperator], name: str):
    """It would be ignored."""
    operator = kind(task_id="t", **REQUIRED[kind], request='{"input": {}}', **{name: "P9D"})

    with pytest.raises(SentinelHubRequestError, match=f"request is given, and {name} too") as caught:
        operator.whole_request({})
    assert caught.value.field == name


def test_an_array_does_not_go_with_a_whole_request_either():
    """As geopandas' ``total_bounds`` is one, which has no single truth."""
    operator = SentinelHubProcessOperator(
        task_id="t", output_path="a.png", request="{}", bbox=np.array([13, 45, 14, 46])
    )

    with pytest.raises(SentinelHubRequestError, match="request is given, and bbox too"):
        operator.whole_request({})


@kinds
def test_default_args_reach_the_arguments_of_bases(kind: type[BaseOperator]):
    """Those of a DAG and of a task."""
    with DAG("d", schedule=None, default_args={"sentinelhub_conn_id": "of_the_dag", "deferrable": True}):
        operator: Any = kind(task_id="t", **REQUIRED[kind])
        other: Any = kind(task_id="u", default_args={"sentinelhub_conn_id": "of_the_task"}, **REQUIRED[kind])

    assert (operator.sentinelhub_conn_id, operator.deferrable) == ("of_the_dag", True)
    assert (other.sentinelhub_conn_id, other.deferrable) == ("of_the_task", True)


@kinds
def test_mapped_operators_take_the_arguments_of_bases(kind: type[BaseOperator]):
    """Both in ``partial()`` and in ``expand()``; a misspelt one is refused while the DAG is parsed."""
    names = sorted(set(arguments_of(kind)) - NOT_TEMPLATED - set(REQUIRED[kind]))
    half = len(names) // 2
    with DAG("d", schedule=None):
        partial = kind.partial(task_id="t", **REQUIRED[kind], **{name: name for name in names[:half]})
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            partial.expand(colection=["sentinel-2-l2a"])
        mapped = partial.expand(**{name: [name, name] for name in names[half:]})
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            kind.partial(task_id="u", colection="sentinel-2-l2a")
        with pytest.raises(TypeError, match="colection"):
            kind(task_id="w", colection="sentinel-2-l2a", **REQUIRED[kind])

    one: Any = mapped.unmap({name: name for name in names[half:]})
    assert {name: getattr(one, name) for name in names} == {name: name for name in names}


# --- files and paths --------------------------------------------------------------------------------------------------


def rendered(folder: Path, **arguments: Any) -> Any:
    """Return a Process operator with its templates filled in."""
    with DAG("d", schedule=None, template_searchpath=[str(folder)]):
        operator = SentinelHubProcessOperator(task_id="t", **{"output_path": "a.tif", **arguments})
    operator.resolve_template_files()
    operator.render_template_fields({"ds": "2024-06-01", "wanted": True})  # type: ignore[typeddict-item]
    return operator


@pytest.mark.parametrize("kind", [Path, PurePath, PurePosixPath], ids=lambda kind: kind.__name__)
def test_paths_are_templates(kind: type[PurePath], tmp_path: Path):
    """By themselves and inside of other values."""
    assert rendered(tmp_path, output_path=kind("x-{{ ds }}.tif")).output_path == "x-2024-06-01.tif"
    several = rendered(tmp_path, output_path={"default": kind("{{ ds }}/a.tif")}).output_path
    assert several == {"default": "2024-06-01/a.tif"}


@pytest.mark.parametrize("kind", [str, Path, PurePosixPath], ids=lambda kind: kind.__name__)
def test_a_file_may_be_named_by_a_path(kind: type, tmp_path: Path):
    """As by text: the name is never taken for what the file holds."""
    (tmp_path / "ndvi.js").write_text("return [1] // {{ ds }}")
    (tmp_path / "r.json").write_text('{"input": "{{ ds }}"}')
    script = "return [1] // 2024-06-01"

    assert rendered(tmp_path, evalscript=kind("ndvi.js")).evalscript == script
    assert rendered(tmp_path, request=kind("r.json")).request == '{"input": "2024-06-01"}'
    assert rendered(tmp_path, request={"evalscript": kind("ndvi.js")}).request == {"evalscript": script}
    with pytest.raises(TemplateNotFound, match=r"none\.js"):
        rendered(tmp_path, evalscript=kind("none.js"))


def test_only_a_whole_field_or_an_evalscript_names_a_file(tmp_path: Path):
    """Any other text that ends like a file is what it is, however deep it lies."""
    (tmp_path / "ndvi.js").write_text("return [1] // {% not a block %} {{ ds }}")
    request = {
        "input": {"data": [{"type": "byoc-1", "note": "fields.json"}], "list": ["a.js"]},
        "processRequest": {"evalscript": "ndvi.js"},
    }
    script = "return [1] // {% not a block %} 2024-06-01"

    assert rendered(tmp_path, request=request).request == {**request, "processRequest": {"evalscript": script}}
    assert rendered(tmp_path, evalscript="ndvi.js").evalscript == script
    assert rendered(tmp_path, collection="byoc.json", outputs={"a.js": "b.json"}).outputs == {"a.js": "b.json"}
    with pytest.raises(TemplateNotFound, match=r"ndvj\.js"):
        rendered(tmp_path, request={"evalscript": "ndvj.js"})


def test_a_request_in_a_file_is_a_template_with_blocks(tmp_path: Path):
    """Also where it holds an evalscript, in which blocks have no meaning."""
    (tmp_path / "r.json").write_text('{% if wanted %}{"evalscript": "evaluatePixel {{ ds }}"}{% endif %}')

    assert rendered(tmp_path, request="r.json").request == '{"evalscript": "evaluatePixel 2024-06-01"}'


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("bbox", "[13, 45, 13.1, 45.1]", [13, 45, 13.1, 45.1]),
        ("geometry", '{"type": "Point", "coordinates": [1, 2]}', {"type": "Point", "coordinates": [1, 2]}),
        ("geometry", "POINT (1 2)", "POINT (1 2)"),
        ("outputs", '{"ndvi": "tiff"}', {"ndvi": "tiff"}),
        ("outputs", "tiff", "tiff"),
        ("collection", '["sentinel-2-l2a", "dem"]', ["sentinel-2-l2a", "dem"]),
        ("collection", "['sentinel-2-l2a', 'dem']", ["sentinel-2-l2a", "dem"]),
        ("outputs", "{'ndvi': 'tiff'}", {"ndvi": "tiff"}),
        ("geometry", "{'type': 'Point', 'crs': None, 'ok': True}", {"type": "Point", "crs": None, "ok": True}),
    ],
)
def test_structures_may_be_rendered_as_json(tmp_path: Path, name: str, text: str, value: Any):
    """As a template without native types renders them, with or without ``tojson``."""
    operator = rendered(tmp_path, **{"time_range": ["2024-06-01", "2024-06-02"], "collection": "dem", name: text})

    assert getattr(operator.described({}), name) == value


@pytest.mark.parametrize(
    "text",
    ["[13, 45", "['a', open('x')]", "[datetime(2024, 6, 1)]", "[b'a']", "[" * 9999, "{'a'}"],
    ids=lambda text: text[:20],
)
def test_a_structure_that_is_no_json_is_named(tmp_path: Path, text: str):
    """With the argument."""
    with pytest.raises(SentinelHubRequestError, match="bbox is not JSON") as caught:
        rendered(tmp_path, bbox=text).structured("bbox")
    assert caught.value.field == "bbox"


def test_an_argument_that_would_have_no_effect_is_refused():
    """An Async job has no features of which some may fail."""
    with pytest.raises(TypeError, match="on_partial"):
        SentinelHubAsyncProcessOperator(task_id="t", on_partial="warn")


# --- values of a wrong type -------------------------------------------------------------------------------------------

ROLE = "arn:aws:iam::123456789012:role/sentinelhub"
COLLECTION = "12345678-1234-1234-1234-123456789abc"
GOOD: dict[type[BaseOperator], dict[str, Any]] = {
    SentinelHubProcessOperator: {
        "collection": "sentinel-2-l2a",
        "evalscript": "ndvi",
        "time_range": "2024-06-01/2024-06-02",
        "bbox": [13, 45, 13.1, 45.1],
        "width": 9,
        "output_path": "/nowhere/a.tif",
        "tile": True,
        "max_processing_units": 0,
    },
    SentinelHubStatisticsOperator: {
        "collection": "sentinel-2-l2a",
        "evalscript": "ndvi",
        "time_range": "2024-06-01/2024-06-02",
        "bbox": [13, 45, 13.1, 45.1],
        "width": 9,
        "max_processing_units": 0,
    },
    SentinelHubCatalogSearchOperator: {
        "collection": "sentinel-2-l2a",
        "datetime": "2024-06-01/2024-06-02",
        "bbox": [13, 45, 13.1, 45.1],
        "max_processing_units": 0,
    },
    SentinelHubHttpOperator: {"endpoint": "/catalog/v1/search", "method": "POST", "json": {"a": 1}, "paginate": True},
    SentinelHubAsyncProcessOperator: {**PICTURE, "delivery": "s3://bucket/a", "delivery_role_arn": ROLE},
    SentinelHubBatchProcessOperator: {
        **PICTURE,
        "width": None,
        "resolution": 60,
        "tiling_grid": 0,
        "delivery": "s3://bucket/a",
        "delivery_role_arn": ROLE,
    },
    SentinelHubBatchStatisticsOperator: {
        "collection": "sentinel-2-l2a",
        "evalscript": "ndvi",
        "time_range": "2024-06-01/2024-06-02",
        "width": 9,
        "height": 9,
        "features": "s3://bucket/fields.gpkg",
        "delivery": "s3://bucket/a",
        "delivery_role_arn": ROLE,
    },
    SentinelHubSceneSensor: {
        "collection": "sentinel-2-l2a",
        "datetime": "2024-06-01/2024-06-02",
        "bbox": [13, 45, 13.1, 45.1],
        "poke_interval": 1,
        "timeout": 1,
    },
    SentinelHubJobSensor: {
        "kind": "batch-process",
        "job_id": "12345678-1234-1234-1234-123456789abc",
        "poke_interval": 1,
        "timeout": 1,
    },
    SentinelHubByocCreateCollectionOperator: {"name": "n", "s3_bucket": "bucket", "max_processing_units": 0},
    SentinelHubByocIngestOperator: {"collection_id": COLLECTION, "tiles": ["a"], "max_processing_units": 0},
    SentinelHubByocDeleteCollectionOperator: {"collection_id": COLLECTION, "max_processing_units": 0},
    SentinelHubByocDeleteTilesOperator: {"collection_id": COLLECTION, "tiles": ["a"], "max_processing_units": 0},
}
PLAIN = {
    *("deferrable", "max_processing_units", "sentinelhub_conn_id", "output_path", "part_folder", "stac"),
    *("method", "max_xcom_size", "poke_interval", "multiple_outputs"),
}
"""Arguments that take what they get: paths and names become text. Of some, Airflow itself checks the type."""

WRONG = [object(), {"a": object()}, [object()], 3.5, -1, True, "not that"]


class SentReachedError(Exception):
    """A request was to be sent: nothing was refused."""


class NoHook:
    """Knows a deployment; nothing can be sent."""

    def request(self, *_: Any, **__: Any) -> Any:
        """Tell that the arguments were taken."""
        raise SentReachedError

    def __init__(self) -> None:
        self.settings = SimpleNamespace(deployment=SimpleNamespace(name="sentinel-hub"), base_url="https://sh.example")
        self.meter = SimpleNamespace(spent=None)
        self.has_budget = False


@pytest.mark.parametrize(
    "kind", [kind for kind in GOOD if issubclass(kind, SentinelHubOperator)], ids=lambda kind: kind.__name__
)
def test_a_max_wait_that_is_no_number_is_refused_at_once(kind: type[BaseOperator]):
    """Not only when there is something to wait for: the job is paid for by then."""
    operator: Any = kind(task_id="t", **GOOD[kind], max_wait="long")
    vars(operator)["hook"] = NoHook()

    with pytest.raises(AirflowFailException, match="max_wait"):
        operator.execute({"ti": SimpleNamespace(dag_id="d", map_index=-1), "run_id": "r"})


@pytest.mark.parametrize("wrong", WRONG, ids=["object", "dict", "list", "fraction", "negative", "flag", "text"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, id=f"{kind.__name__}-{name}")
        for kind in GOOD
        for name in sorted(set(arguments_of(kind)) - PLAIN)
    ],
)
def test_a_wrong_type_is_said_in_words(kind: type[BaseOperator], name: str, wrong: Any):
    """Nobody is left with a TypeError of some library; where the argument is at fault, the message names it."""
    operator: Any = kind(task_id="t", **{**GOOD[kind], name: wrong})
    vars(operator)["hook"] = NoHook()
    context = {"ti": SimpleNamespace(xcom_push=lambda key, value: None, dag_id="d", map_index=-1), "run_id": "r"}
    try:
        operator.execute(context)
    except SentReachedError:
        pass
    except AirflowFailException as error:
        said = str(error)
        others = (
            "max_processing_units",
            "are both given",
            "are given",
            "goes with",
            "tile=True",
            "mosaic is",
            "answers with a file",
        )
        assert name in said or any(other in said for other in others), said
