"""Texts that Windows editors write: evalscripts, requests and geometries with a byte order mark, or in UTF-16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from sentinelhub_provider.api.evalscripts import read_evalscript
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.operators.arguments import geometry_of
from sentinelhub_provider.operators.process import SentinelHubProcessOperator

SCRIPT = "//VERSION=3\nfunction setup() { return {input: ['B04'], output: {bands: 1}}; }\nfunction evaluatePixel() {}"
REQUEST = {"input": {}, "output": {}, "evalscript": SCRIPT}
WKT = "POLYGON ((0 0, 1 0, 1 1, 0 0))"


def operator(folder: Path, **arguments: Any) -> SentinelHubProcessOperator:
    """Return an operator of a DAG that finds its files in a folder, rendered."""
    with DAG(dag_id="texts", schedule=None, template_searchpath=[str(folder)]):
        found = SentinelHubProcessOperator(task_id="t", output_path="x.tif", **arguments)
    found.render_template_fields({})  # type: ignore[typeddict-item]
    return found


def test_byte_order_marks_do_no_harm(tmp_path: Path):
    """In evalscripts, requests and geometries, from files and as text."""
    for name, text in (("s.js", SCRIPT), ("r.json", json.dumps(REQUEST)), ("a.wkt", WKT), ("a.json", '{"type": "x"}')):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")

    assert operator(tmp_path, evalscript="s.js").evalscript == SCRIPT
    assert operator(tmp_path, request="r.json").whole_request({}) == REQUEST
    assert operator(tmp_path, request=f"\ufeff{json.dumps(REQUEST)}").whole_request({}) == REQUEST
    assert geometry_of(operator(tmp_path, evalscript="s.js"), "a.wkt", "geometry") == WKT
    assert geometry_of(operator(tmp_path, evalscript="s.js"), "a.json", "geometry") == '{"type": "x"}'
    assert read_evalscript(f"\ufeff{SCRIPT}") == SCRIPT


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize(("field", "name"), [("evalscript", "s.js"), ("request", "r.json")])
def test_another_encoding_is_said(tmp_path: Path, encoding: str, field: str, name: str):
    """With the file and what to do."""
    (tmp_path / name).write_text(SCRIPT, encoding=encoding)
    with pytest.raises(SentinelHubRequestError, match=rf"{name} is .*{encoding.upper()}.*Save it as UTF-8"):
        operator(tmp_path, **{field: name})


def test_another_encoding_of_a_geometry_is_said(tmp_path: Path):
    """As an error about the argument."""
    (tmp_path / "a.wkt").write_text(WKT, encoding="utf-16")
    (tmp_path / "s.js").write_text(SCRIPT)
    with pytest.raises(SentinelHubRequestError, match=r"a\.wkt.*UTF-16.*Save it as UTF-8") as caught:
        geometry_of(operator(tmp_path, evalscript="s.js"), "a.wkt", "area")
    assert caught.value.field == "area"
