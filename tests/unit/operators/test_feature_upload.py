from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.features import open_features
from sentinelhub_provider.operators.jobs.features import Raster, prepare_features


def field(number: int, **properties: Any) -> dict[str, Any]:
    """Return a square of about 1.1 km, one beside the other."""
    west = 13 + number / 50
    ring = [[west, 45], [west + 0.01, 45], [west + 0.01, 45.01], [west, 45.01], [west, 45]]
    return {
        "type": "Feature",
        "id": f"field-{number}",
        "properties": properties,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    """Return a collection of them."""
    return {"type": "FeatureCollection", "features": list(features)}


def test_features_become_a_geopackage() -> None:
    """It has all of them, in one CRS, under the identifiers that were chosen."""
    features = collection(*(field(number, code=f"DE-{number}") for number in range(3)))

    with prepare_features(features, id_property="code", raster=Raster(size=(64, 64))) as prepared:
        with open_features(prepared.path, id_property="identifier") as table:
            assert [feature.id for feature in table] == ["DE-0", "DE-1", "DE-2"]
        assert prepared.count == 3
        assert prepared.crs.epsg == 4326
        assert tuple(prepared.bbox) == pytest.approx((13, 45, 13.05, 45.01))
        assert prepared.sizes is not None
        assert prepared.sizes.pixels == 3 * 64 * 64
    assert not prepared.path.exists()


def test_sizes_by_resolution() -> None:
    """Rasters follow from the features' boxes; without a raster there is none."""
    with prepare_features(collection(field(0)), raster=Raster(resolution=(0.0001, 0.0002))) as prepared:
        assert prepared.sizes is not None
        assert (prepared.sizes.pixels, prepared.sizes.largest) == (100 * 50, 100)
    with prepare_features(collection(field(0))) as prepared:
        assert prepared.sizes is None


@pytest.mark.parametrize("kind", ["geojson", "gpkg", "parquet"])
def test_kinds_of_files(tmp_path: Path, kind: str) -> None:
    """GeoJSON, GeoPackage and GeoParquet give the same GeoPackage."""
    features = [field(number) for number in range(3)]
    path = tmp_path / f"fields.{kind}"
    if kind == "geojson":
        path.write_text(json.dumps(collection(*features)))
    elif kind == "gpkg":
        with prepare_features(collection(*features)) as prepared:
            path.write_bytes(prepared.path.read_bytes())
    else:
        from sentinelhub_provider.features.writing import to_geoparquet

        path.write_bytes(to_geoparquet(features))

    name = {"geojson": None, "gpkg": "identifier", "parquet": "id"}[kind]
    with prepare_features(str(path), id_property=name) as prepared, prepare_features(collection(*features)) as direct:
        assert prepared.count == 3
        assert prepared.digest == direct.digest


def test_uploaded_once(tmp_path: Path) -> None:
    """The same features have the same URL, and what is there is left as it is."""
    folder = tmp_path.as_uri()
    with prepare_features(collection(field(0))) as prepared:
        url = prepared.upload(folder)
    file = next(tmp_path.iterdir())
    before = file.stat().st_mtime_ns
    assert url == f"{folder}/{file.name}"

    with prepare_features(collection(field(0))) as prepared:
        assert prepared.upload(folder) == url
        assert file.stat().st_mtime_ns == before
    with prepare_features(collection(field(1))) as prepared:
        assert prepared.upload(folder) != url


def test_bucket_that_cannot_be_written() -> None:
    """The error says why, before a job is created."""
    with (
        prepare_features(collection(field(0))) as prepared,
        pytest.raises(SentinelHubOutputError, match="features cannot be uploaded: nowhere://bucket/features-"),
    ):
        prepared.upload("nowhere://bucket")


@pytest.mark.parametrize(
    ("features", "arguments", "words"),
    [
        pytest.param(collection(), {}, "features is empty|is empty: it has no feature", id="none"),
        pytest.param(collection(field(0), field(0)), {}, "'field-0' stands for more than one", id="twice"),
        pytest.param(collection(field(0)), {"id_property": "code"}, "has the property 'code'", id="no-property"),
        pytest.param(
            collection({**field(0), "geometry": {"type": "Point", "coordinates": [13, 45]}}),
            {},
            "feature 'field-0' .*Point, which has no area",
            id="point",
        ),
        pytest.param({**collection(field(0)), "crs": {"properties": {"name": "EPSG:4326"}}}, {"crs": 32633},
                     "say of themselves that they are in EPSG:4326", id="crs"),
        pytest.param(collection(field(0)), {"crs": 32633}, "looks like longitude and latitude", id="metres"),
        pytest.param(
            collection(field(0)), {"raster": Raster(resolution=(1e-6, 1e-6), max_side=2500)},
            "would have 10,000 x 10,000 pixels, more than 2,500", id="large",
        ),
    ],
)  # fmt: skip
def test_features_that_cannot_be(features: Any, arguments: dict[str, Any], words: str) -> None:
    """They are refused, each by its name."""
    with pytest.raises(SentinelHubRequestError, match=words), prepare_features(features, **arguments):
        pass


def test_many_problems_are_summed_up() -> None:
    """The message names some, and how many more there are."""
    bad = [{**field(number), "geometry": None} for number in range(23)]

    with (
        pytest.raises(SentinelHubRequestError, match=r"features: 23 cannot be used: .*field-19.*, and 3 more\. Repair"),
        prepare_features(collection(*bad, field(99))),
    ):
        pass
