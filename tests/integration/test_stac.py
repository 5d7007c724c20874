"""What was made is in a catalog: items and Collections of real tasks, read by pystac and by hand."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pystac
import pytest
import rasterio
from airflow.sdk.exceptions import AirflowFailException
from s3_server import BUCKET, S3Server
from stac_checks import check_stac
from task_instance import NDVI

from sentinelhub_provider.exceptions import SentinelHubServerError
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.raster import features as feature_pictures

AREA = {"bbox": [499_980, 4_999_000, 501_580, 5_000_200], "crs": 32633, "resolution": 10}
NAMES = ("north", "a/b", "Körös 2.5", "50% #1?", "..")


@pytest.fixture(name="run")
def fixture_run(process, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Have an NDVI made; keywords change or add arguments, ``None`` leaves one out."""

    def run(**arguments: Any) -> dict[str, Any]:
        given = {**NDVI, "output_path": str(tmp_path / "ndvi.tif"), **AREA, **arguments}
        return process(**{name: value for name, value in given.items() if value is not None})

    return run


@pytest.fixture(name="sent")
def fixture_sent(sentinelhub_sandbox) -> Callable[[], int]:
    """Return what counts the Process requests so far."""
    return lambda: sentinelhub_sandbox.control.counters().requests.get("/process/v1", 0)


def of_each(*names: str, **more: Any) -> dict[str, Any]:
    """Return arguments for pictures of features with these names."""
    ring = [[14.0, 46.0], [14.006, 46.0], [14.0, 46.004], [14.0, 46.0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    features = [{"type": "Feature", "properties": {"name": name}, "geometry": geometry} for name in names]
    no_area = dict.fromkeys(AREA)
    found = {"type": "FeatureCollection", "features": features}
    return {**no_area, "features": found, "id_property": "name", "resolution": 20, **more}


def by_hand(collection: Path) -> list[tuple[dict[str, Any], list[Path]]]:
    """Read a Collection as the specification says, without a library: valid items, and their files that are there."""
    found = check_stac(collection.read_text(encoding="utf-8"))
    read = []
    for link in found["links"]:
        if link["rel"] != "item":
            continue
        place = collection.parent / link["href"]
        item = check_stac(place.read_text(encoding="utf-8"))
        back = {one["rel"]: (place.parent / one["href"]).resolve() for one in item["links"]}
        assert (item["collection"], back["collection"]) == (found["id"], collection.resolve())
        assert back["root"] == back["parent"] == back["collection"]
        files = []
        for asset in item["assets"].values():
            file = place.parent / asset["href"]
            content = file.read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (
                asset["file:size"],
                asset["file:checksum"][4:],
            )
            files.append(file)
        read.append((item, files))
    assert len({item["id"] for item, _ in read}) == len(read)
    return read


def check_grid(item: dict[str, Any], file: Path) -> None:
    """Check that an item says of its raster what GDAL does."""
    properties = item["properties"]
    with rasterio.open(file) as raster:
        assert [raster.height, raster.width] == properties["proj:shape"]
        assert f"EPSG:{raster.crs.to_epsg()}" == properties["proj:code"]
        assert list(raster.transform)[:6] == pytest.approx(properties["proj:transform"])
        assert list(raster.bounds) == pytest.approx(properties["proj:bbox"])


def test_a_picture_is_in_a_catalog(run, tmp_path: Path, sentinelhub_sandbox):
    """Where, when, how and for how much it was made, and what is in it."""
    result = run()
    ((item, (file,)),) = by_hand(tmp_path / "collection.json")
    properties = item["properties"]

    assert (result["item"], str(file)) == (f"{tmp_path}/ndvi.tif.stac.json", f"{tmp_path}/ndvi.tif")
    check_grid(item, file)
    assert properties["sentinelhub:request_sha256"] == result["request_sha256"]
    assert properties["sentinelhub:processing_units"] == pytest.approx(result["processing_units"])
    assert properties["sentinelhub:coverage"] == pytest.approx(result["coverage"])
    assert properties["sentinelhub:service"] == sentinelhub_sandbox.url
    with rasterio.open(file) as raster:
        pixels = raster.read(1)
        assert item["assets"]["default"]["bands"][0]["data_type"] == raster.dtypes[0]
    pixels = pixels[np.isfinite(pixels)]
    assert item["assets"]["default"]["bands"][0]["statistics"] == {
        "minimum": pytest.approx(pixels.min()),
        "maximum": pytest.approx(pixels.max()),
        "mean": pytest.approx(pixels.mean(), abs=1e-6),
        "stddev": pytest.approx(pixels.std(), abs=1e-6),
    }
    assert not list(tmp_path.glob("*.aux.xml"))


def test_pystac_opens_what_is_there(run, tmp_path: Path):
    """Items through the Collection, and pictures through the items, from wherever the folder is moved to."""
    run(output_path=str(tmp_path / "here" / "ndvi.tif"))
    run(**of_each(*NAMES), output_path=str(tmp_path / "here" / "{feature_id}.tif"))
    (tmp_path / "here").rename(tmp_path / "there")
    catalog = pystac.Collection.from_file(str(tmp_path / "there" / "collection.json"))
    items = list(catalog.get_items(recursive=True))

    assert (catalog.id, len(items)) == ("here", 1 + len(NAMES))
    for item in items:
        assert item.get_collection() is catalog
        with rasterio.open(item.assets["default"].get_absolute_href()) as raster:
            assert raster.count == 1
    assert {item.properties.get("sentinelhub:feature_id") for item in items} == {None, *NAMES}


@pytest.mark.parametrize("where", [True, "items"])
def test_features_with_any_name_are_found_by_hand(run, tmp_path: Path, where: Any):
    """Dots, slashes, blanks, per cent signs and letters of all alphabets."""
    where = where if where is True else str(tmp_path / where)
    result = run(**of_each(*NAMES, stac=where), output_path=str(tmp_path / "of each" / "{feature_id}.tif"))
    folder = tmp_path / "of each" if where is True else Path(where)
    found = by_hand(folder / "collection.json")

    assert result["collection"] == str(folder / "collection.json")
    assert {item["properties"]["sentinelhub:feature_id"] for item, _ in found} == set(NAMES)
    for item, (file,) in found:
        check_grid(item, file)
        assert item["bbox"] == pytest.approx([14.0, 46.0, 14.006, 46.004])


def test_folders_named_after_features_share_a_collection(run, tmp_path: Path):
    """It lies above them; ids tell the items apart."""
    run(**of_each(*NAMES), output_path=str(tmp_path / "own" / "{feature_id}" / "{output}.tif"))
    found = by_hand(tmp_path / "own" / "collection.json")

    assert len(found) == len(NAMES)
    assert len(list(tmp_path.rglob("collection.json"))) == 1
    run(**of_each("later"), output_path=str(tmp_path / "own" / "{feature_id}" / "{output}.tif"))
    assert len(by_hand(tmp_path / "own" / "collection.json")) == 1 + len(NAMES)


def test_several_outputs_are_assets_of_one_item(run, sent, tmp_path: Path):
    """In folders of their own, too; a second task finds them all."""
    outputs = {"default": "tiff", "dataMask": "png"}
    paths = {"default": str(tmp_path / "a" / "ndvi.tif"), "dataMask": str(tmp_path / "masks" / "mask.png")}
    run(outputs=outputs, output_path=paths)
    ((item, files),) = by_hand(tmp_path / "a" / "collection.json")
    again = run(outputs=outputs, output_path=paths, if_exists="skip", run_id="tuesday")

    assert [str(file.resolve()) for file in files] == list(paths.values())
    assert [asset["roles"] for asset in item["assets"].values()] == [["data"], ["data-mask"]]
    assert (again["skipped"], sent()) == (True, 1)
    assert {name: one["path"] for name, one in again["outputs"].items()} == paths


@pytest.mark.parametrize("name", ["ndvi.tif", "mask.png"])
def test_a_file_that_others_changed_is_not_kept(run, sent, tmp_path: Path, name: str):
    """Even where it has the same size."""
    outputs = {"default": "tiff", "dataMask": "png"}
    paths = {"default": str(tmp_path / "ndvi.tif"), "dataMask": str(tmp_path / "mask.png")}
    run(outputs=outputs, output_path=paths)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[::-1])

    assert run(outputs=outputs, output_path=paths, if_exists="skip")["skipped"] is False
    assert run(outputs=outputs, output_path=paths, if_exists="skip")["skipped"] is True
    assert sent() == 2
    (tmp_path / name).write_bytes(content)  # it is newer than its item, as after a copy, and the same
    assert run(outputs=outputs, output_path=paths, if_exists="skip")["skipped"] is True


def test_a_file_that_others_changed_in_a_bucket_is_not_kept(run, sent, s3_for_all: S3Server, monkeypatch):
    """A second after its item, as S3 tells no finer times."""
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", s3_for_all.connection())
    s3_for_all.empty()
    given = {"output_path": f"s3://storage@{BUCKET}/changed/ndvi.tif", "if_exists": "skip"}
    run(**given)
    content = s3_for_all.get("changed/ndvi.tif")
    time.sleep(1.1)
    s3_for_all.put("changed/ndvi.tif", content[::-1])

    assert (run(**given)["skipped"], s3_for_all.get("changed/ndvi.tif") == content) == (False, True)
    assert (run(**given)["skipped"], sent()) == (True, 2)
    s3_for_all.empty()


def test_an_item_that_users_edited_is_still_known(run, sent, tmp_path: Path):
    """With pystac, which adds links, or by hand: an asset of their own, a box with heights."""
    run()
    place = tmp_path / "ndvi.tif.stac.json"
    item = next(pystac.Collection.from_file(str(tmp_path / "collection.json")).get_items())
    item.properties["title"] = "mine"
    item.add_asset("thumbnail", pystac.Asset("./small.png", media_type="image/png"))
    item.save_object()
    assert run(if_exists="skip")["skipped"] is True
    west, south, east, north = item.bbox
    place.write_text(json.dumps(json.loads(place.read_text()) | {"bbox": [west, south, 90, east, north, 110]}))
    assert run(if_exists="skip")["skipped"] is True

    assert sent() == 1
    found = json.loads((tmp_path / "collection.json").read_text())
    assert [link["href"] for link in found["links"] if link["rel"] == "item"] == ["./ndvi.tif.stac.json"]
    assert found["extent"]["spatial"]["bbox"] == [pytest.approx([west, south, east, north])]
    assert json.loads(place.read_text())["properties"]["title"] == "mine"


@pytest.mark.parametrize("change", [{"type": None}, {"file:checksum": 5}, {"file:size": None}])
def test_an_item_that_was_broken_by_hand_is_made_anew(run, tmp_path: Path, change: dict[str, Any]):
    """The task does not fail."""
    run()
    place = tmp_path / "ndvi.tif.stac.json"
    told = json.loads(place.read_text())
    told["assets"]["default"] |= change
    place.write_text(json.dumps(told))

    assert run(if_exists="skip")["skipped"] is False
    by_hand(tmp_path / "collection.json")


def test_one_picture_has_one_item_however_its_path_is_written(run, sent, tmp_path: Path, monkeypatch):
    """With a tilde, relative, or as a URL."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    paths = [str(tmp_path / "ndvi.tif"), "~/ndvi.tif", "ndvi.tif", f"file://{tmp_path}/ndvi.tif"]
    results = [run(output_path=path, stac="~/items", if_exists="skip")["skipped"] for path in paths]

    assert (results, sent()) == ([False, True, True, True], 1)
    assert len(by_hand(tmp_path / "items" / "collection.json")) == 1


@pytest.mark.parametrize(
    "arguments",
    [{}, {"tile": True, "tile_size": 64}, {"features": True}],
    ids=["picture", "mosaic", "features"],
)
def test_a_folder_of_items_that_cannot_be_written_is_refused(run, sent, tmp_path: Path, arguments: dict[str, Any]):
    """Before anything is paid for, as no picture would be known again."""
    (tmp_path / "file").write_text("no folder")
    name = "{feature_id}.tif" if "features" in arguments else "ndvi.tif"
    given = of_each("a") if "features" in arguments else arguments
    with pytest.raises(AirflowFailException, match=r"stac .*/file/items/.* cannot be written"):
        run(**{**given, "stac": str(tmp_path / "file" / "items"), "output_path": str(tmp_path / name)})

    assert sent() == 0


@pytest.mark.parametrize(
    ("name", "kind", "arguments"),
    [
        ("large.tif", "image/tiff; application=geotiff", {}),
        ("large.tif", "image/tiff; application=geotiff; profile=cloud-optimized", {"mosaic": "cog"}),
        ("large.vrt", "application/x-gdal-vrt+xml", {}),
    ],
    ids=["GeoTIFF", "COG", "VRT"],
)
def test_a_mosaic_is_a_picture_as_any_other(run, tmp_path: Path, name: str, kind: str, arguments: dict[str, Any]):
    """With the media type that it has."""
    path = str(tmp_path / name)
    result = run(tile=True, tile_size=64, output_path=path, **arguments)
    ((item, (file,)),) = by_hand(tmp_path / "collection.json")

    check_grid(item, file)
    assert item["assets"]["default"]["type"] == kind
    assert item["properties"]["sentinelhub:processing_units"] == pytest.approx(result["processing_units"])
    assert run(tile=True, tile_size=64, output_path=path, if_exists="skip", run_id="x", **arguments)["skipped"] is True


def test_scenes_are_linked_where_the_catalog_was_asked(run, sentinelhub_sandbox, tmp_path: Path):
    """As ``on_empty`` has it done before a picture is paid for; never otherwise, for it costs."""
    run()
    assert not any("catalog" in path for path in sentinelhub_sandbox.control.counters().requests)
    run(on_empty="fail")
    ((item, _),) = by_hand(tmp_path / "collection.json")
    scenes = [link for link in item["links"] if link["rel"] == "derived_from"]

    assert len(scenes) > 1
    for scene in scenes:
        root = f"{sentinelhub_sandbox.url}/catalog/v1/collections/sentinel-2-l2a/items/"
        assert scene["href"] == urljoin(root, scene["title"])


def test_an_item_names_no_request_while_its_picture_is_made_anew(run, sentinelhub_sandbox, tmp_path: Path):
    """It is valid all the same, and whose the picture is stays known."""
    run()
    fault = sentinelhub_sandbox.control.add_fault(path="/process/v1", action={"kind": "html"}, times=9)
    with pytest.raises(Exception, match="HTML page"):
        run(evalscript="ndwi")
    ((item, _),) = by_hand(tmp_path / "collection.json")

    assert "sentinelhub:request_sha256" not in item["properties"]
    assert item["properties"]["sentinelhub:task"]
    sentinelhub_sandbox.control.remove_fault(fault)
    assert run(if_exists="skip")["skipped"] is False
    assert run(if_exists="skip")["skipped"] is True


@pytest.mark.parametrize("kind", [str, PurePath, Path])
def test_paths_of_all_kinds(run, tmp_path: Path, kind: Any):
    """For the picture, and for the items; templates fill in both."""
    result = run(
        output_path=kind(tmp_path / "pictures" / "{{ ds }}.tif"), stac=kind(tmp_path / "items" / "of {{ ds }}")
    )
    ((item, (file,)),) = by_hand(tmp_path / "items" / "of 2024-06-08" / "collection.json")

    assert item["assets"]["default"]["href"] == "../../pictures/2024-06-08.tif"
    assert str(file.resolve()) == result["path"]


def test_a_foreign_collection_is_left_alone_and_costs_nothing(run, tmp_path: Path, caplog):
    """The picture is paid for: the task succeeds, with its item, and says what is the matter."""
    (tmp_path / "collection.json").write_text("mine")
    result = run()

    assert (tmp_path / "collection.json").read_text() == "mine"
    assert Path(result["path"]).exists()
    assert "is not a STAC Collection and stays as it is" in caplog.text


def test_nothing_is_described_where_that_is_not_wanted(run, tmp_path: Path):
    """Nor is there a lock."""
    assert run(stac=False)["item"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["ndvi.tif"]


def test_a_bucket_is_as_good_as_a_disk(run, sent, s3_for_all: S3Server, monkeypatch: pytest.MonkeyPatch):
    """Links name no connection; what is in a bucket stays there when a task is tried again."""
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", s3_for_all.connection())
    s3_for_all.empty()
    url = f"s3://storage@{BUCKET}/fields"
    result = run(output_path=f"{url}/ndvi.tif", if_exists="skip")
    run(**of_each("a/b", "ö"), output_path=f"{url}/{{feature_id}}.tif")
    run(**of_each("far"), output_path=f"{url}/{{feature_id}}.tif", stac=f"s3://storage@{BUCKET}/items")
    again = run(output_path=f"{url}/ndvi.tif", if_exists="skip", run_id="tuesday")
    collection = check_stac(s3_for_all.get("fields/collection.json").decode())
    items = [link["href"] for link in collection["links"] if link["rel"] == "item"]

    assert (again["skipped"], again["item"], sent()) == (True, f"{url}/ndvi.tif.stac.json", 4)
    assert result["item"] == again["item"]
    assert sorted(items) == ["./a%2Fb.tif.stac.json", "./ndvi.tif.stac.json", "./ö.tif.stac.json"]
    for name in items:
        item = check_stac(s3_for_all.get(f"fields/{name[2:]}").decode())
        asset = item["assets"]["default"]
        assert len(s3_for_all.get(f"fields/{asset['href'][2:]}")) == asset["file:size"]
    keys = s3_for_all.keys()
    (far,) = [key for key in keys if key.startswith("items/far")]
    assert json.loads(s3_for_all.get(far))["assets"]["default"]["href"] == "../fields/far.tif"
    assert "storage@" not in "".join(s3_for_all.get(key).decode() for key in keys if "json" in key)
    s3_for_all.empty()


def test_a_retry_completes_the_collection(run, sent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An attempt that was killed left items that no Collection names."""
    wanted = of_each(*(f"field {number}" for number in range(12)), output_path=str(tmp_path / "{feature_id}.tif"))
    with monkeypatch.context() as patched:
        patched.setattr("sentinelhub_provider.operators.raster.items.Items.publish", lambda self: None)
        run(**wanted)
    assert not (tmp_path / "collection.json").exists()
    run(**wanted)

    assert (len(by_hand(tmp_path / "collection.json")), sent()) == (12, 12)


def test_the_collection_is_written_in_batches(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Not with each picture; a failure of the task comes after what was made is in it."""
    written: list[str] = []
    store = feature_pictures.Items.publish

    def publish(self: Any) -> None:
        written.append("")
        store(self)

    monkeypatch.setattr(feature_pictures, "PUBLISHED", 5)
    monkeypatch.setattr(feature_pictures.Items, "publish", publish)
    download = SentinelHubProcessOperator.download_picture

    def failing(self: Any, request: Any, path: str) -> Any:
        if path.endswith("field 7.tif"):
            raise SentinelHubServerError("it is down")
        return download(self, request, path)

    monkeypatch.setattr(SentinelHubProcessOperator, "download_picture", failing)
    wanted = of_each(*(f"field {number}" for number in range(12)), output_path=str(tmp_path / "{feature_id}.tif"))
    with pytest.raises(Exception, match="1 feature without a picture"):
        run(**wanted, tile_attempts=1)

    assert (len(written), len(by_hand(tmp_path / "collection.json"))) == (3, 11)


@pytest.mark.parametrize("stac", ["{{ none }}", " ", 1, 0, 2.5, ["items"], {"folder": "items"}, b"items"])
def test_what_stac_cannot_be_is_refused(run, sent, stac: Any):
    """By name, before anything is sent."""
    with pytest.raises(AirflowFailException, match=r"stac is .*\. Give true, false or a folder"):
        run(stac=stac)
    assert sent() == 0
