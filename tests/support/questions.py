"""A spread of questions in the operators' words: every way to say where, when, of what, how fine and in which form.

The tests ask them against the sandbox: that requests are as described, that estimates are what is charged, and that the
official client asks the same.
"""

from __future__ import annotations

from typing import Any

from task_instance import TaskInstance

UTM: dict[str, Any] = {"bbox": [430_000, 5_095_000, 431_600, 5_096_200], "crs": 32633}
LONLAT = [14.0, 46.0, 14.05, 46.04]
TRIANGLE = {
    "type": "Polygon",
    "coordinates": [[[430_100, 5_095_100], [431_500, 5_095_100], [430_600, 5_096_100], [430_100, 5_095_100]]],
}
DAYS = ["2024-08-02T00:00:00Z", "2024-08-22T00:00:00Z"]
"""
Twenty days with four scenes of different clouds. As times, which the official client takes as they are: a bare date as
the end is the last second of that day to both clients, but to the statistics operator the whole day.
"""

ORBITS_IN_TEN_DAYS = 2
"""Passes over that area, which lies within one swath."""

BANDS = """//VERSION=3
function setup() { return { input: ["B04", "B08"], output: { bands: 2, sampleType: "UINT16" } } }
function evaluatePixel(sample) { return [10000 * sample.B04, 10000 * sample.B08] }"""

ORBITS = """//VERSION=3
function setup() {
  return { input: ["B08"], mosaicking: "ORBIT", output: { bands: 1, sampleType: "FLOAT32" } };
}
function evaluatePixel(samples) { return [samples.length] }"""

USER_DATA = """//VERSION=3
function setup() { return { input: ["B04", "dataMask"], output: { bands: 1, sampleType: "UINT8" } } }
function evaluatePixel(sample) { return [255 * sample.B04] }
function updateOutputMetadata(scenes, inputMetadata, outputMetadata) { outputMetadata.userData = { "said": "this" } }"""

FUSION = """//VERSION=3
function setup() {
  return {
    input: [{ datasource: "optical", bands: ["B04", "B08"] }, { datasource: "radar", bands: ["VV"] }],
    output: [{ id: "default", bands: 2, sampleType: "FLOAT32" }, { id: "dataMask", bands: 1 }]
  };
}
function evaluatePixel(samples) {
  const optical = samples.optical[0] || { B04: 0, B08: 0 }, radar = samples.radar[0] || { VV: 0 };
  return { default: [index(optical.B08, optical.B04), radar.VV], dataMask: [1] };
}"""

CHANGE = """//VERSION=3
function setup() {
  return {
    input: [{ datasource: "before", bands: ["B04", "B08"] }, { datasource: "after", bands: ["B04", "B08"] }],
    output: { bands: 1, sampleType: "FLOAT32" }
  };
}
function evaluatePixel(samples) { return [samples.before.length + samples.after.length] }"""

TWO_RADARS = """//VERSION=3
function setup() {
  return {
    input: [{ datasource: "a", bands: ["VV"] }, { datasource: "b", bands: ["VV"] }],
    output: { bands: 1, sampleType: "FLOAT32" }
  };
}
function evaluatePixel(samples) { return [samples.a.length + samples.b.length] }"""

RADAR_BANDS = """//VERSION=3
function setup() {
  return {
    input: ["VV", "VH", "dataMask"],
    output: [{ id: "default", bands: 2, sampleType: "FLOAT32" }, { id: "dataMask", bands: 1 }]
  };
}
function evaluatePixel(s) { return { default: [s.VV, s.VH], dataMask: [s.dataMask] } }"""

HEIGHTS = """//VERSION=3
function setup() {
  return {
    input: ["DEM", "dataMask"],
    output: [{ id: "default", bands: 1, sampleType: "FLOAT32" }, { id: "dataMask", bands: 1 }]
  };
}
function evaluatePixel(s) { return { default: [s.DEM], dataMask: [s.dataMask] } }"""

TWO_OUTPUTS = """//VERSION=3
function setup() {
  return {
    input: ["B04", "B08", "dataMask"],
    output: [
      { id: "ndvi", bands: 1, sampleType: "FLOAT32" }, { id: "bands", bands: ["red", "nir"], sampleType: "UINT16" },
      { id: "dataMask", bands: 1 }
    ]
  };
}
function evaluatePixel(s) {
  return { ndvi: [index(s.B08, s.B04)], bands: [1e4 * s.B04, 1e4 * s.B08], dataMask: [s.dataMask] };
}"""

ORBIT_STATISTICS = """//VERSION=3
function setup() {
  return {
    input: ["B08", "dataMask"], mosaicking: "ORBIT",
    output: [{ id: "default", bands: 1, sampleType: "FLOAT32" }, { id: "dataMask", bands: 1 }]
  };
}
function evaluatePixel(samples) { return { default: [samples.length], dataMask: [1] } }"""

ASCENDING = {"acquisitionMode": "IW", "polarization": "DV", "resolution": "HIGH", "orbitDirection": "ASCENDING"}
RADAR: dict[str, Any] = {
    "type": "sentinel-1-grd",
    "dataFilter": ASCENDING,
    "processing": {"backCoeff": "GAMMA0_ELLIPSOID", "orthorectify": True},
}
FLAT_RADAR: dict[str, Any] = {
    "type": "sentinel-1-grd",
    "dataFilter": ASCENDING,
    "processing": {
        "backCoeff": "GAMMA0_TERRAIN",
        "orthorectify": True,
        "demInstance": "COPERNICUS_30",
        "speckleFilter": {"type": "LEE", "windowSizeX": 3, "windowSizeY": 3},
    },
}
FUSED = [{"type": "sentinel-2-l2a", "id": "optical"}, {**RADAR, "id": "radar"}]
TWO_TIMES: list[dict[str, Any]] = [
    {"type": "sentinel-2-l2a", "id": name, "dataFilter": {"timeRange": {"from": start, "to": end}}}
    for name, start, end in [
        ("before", "2024-04-01T00:00:00Z", "2024-04-20T00:00:00Z"),
        ("after", DAYS[0], DAYS[1]),
    ]
]
ELEVATION: dict[str, Any] = {"type": "dem", "dataFilter": {"demInstance": "COPERNICUS_30"}}

_PICTURE: dict[str, Any] = {
    "collection": "sentinel-2-l2a", "evalscript": BANDS, "time_range": DAYS, **UTM, "resolution": 20, "outputs": "tiff",
}  # fmt: skip
_ALL_TIFF = {"ndvi": "tiff", "bands": "tiff"}

PICTURES: dict[str, dict[str, Any]] = {
    "resolution": {},
    "size": {"resolution": None, "width": 64, "height": 48},
    "degrees": {"bbox": LONLAT, "crs": None, "resolution": None, "width": 64, "height": 48},
    "geometry in UTM": {"bbox": None, "geometry": TRIANGLE},
    "mosaicking order": {"mosaicking_order": "leastCC"},
    "cloud limit": {"max_cloud_cover": 30},
    "resampling": {"upsampling": "BICUBIC", "downsampling": "BILINEAR", "resolution": 7.5},
    "several outputs": {"evalscript": TWO_OUTPUTS.replace('["red", "nir"]', "2"), "outputs": _ALL_TIFF},
    "float in 32 bits": {"evalscript": "ndvi"},
    "named script": {"evalscript": "true-colour", "outputs": "png"},
    "user data": {"evalscript": USER_DATA, "outputs": {"default": "png", "userdata": "json"}},
    "level 1": {"collection": "sentinel-2-l1c"},
    "fusion": {"collection": FUSED, "evalscript": FUSION},
    "fusion in time": {"collection": TWO_TIMES, "evalscript": CHANGE},
    "fused radar": {"collection": [{**RADAR, "id": "a"}, {**FLAT_RADAR, "id": "b"}], "evalscript": TWO_RADARS},
    "radar": {"collection": RADAR, "evalscript": RADAR_BANDS},
    "flattened radar": {"collection": FLAT_RADAR, "evalscript": RADAR_BANDS, "outputs": {"default": "tiff"}},
    "elevation": {"collection": ELEVATION, "evalscript": HEIGHTS, "time_range": None},
    "every orbit": {"evalscript": ORBITS, "samples": 2 * ORBITS_IN_TEN_DAYS},
    "tiles": {"evalscript": "ndvi", "tile": True, "tile_size": 48},
}
PICTURES = {name: {**_PICTURE, **question} for name, question in PICTURES.items()}
"""Arguments of the Process operator, but for ``output_path``."""

_TABLE: dict[str, Any] = {
    "collection": "sentinel-2-l2a", "evalscript": TWO_OUTPUTS, "time_range": DAYS, "aggregation_interval": "P10D",
    **UTM, "resolution": 40,
}  # fmt: skip

TABLES: dict[str, dict[str, Any]] = {
    "resolution": {},
    "size": {"resolution": None, "width": 40, "height": 30},
    "degrees": {"bbox": LONLAT, "crs": None, "resolution": None, "width": 64, "height": 48},
    "geometry in UTM": {"bbox": None, "geometry": TRIANGLE},
    "mosaicking order": {"mosaicking_order": "leastCC"},
    "cloud limit": {"max_cloud_cover": 30, "mosaicking_order": "leastRecent"},
    "percentiles": {"percentiles": [5, 50, 95]},
    "histogram": {"histogram": {"nBins": 5, "lowEdge": 0.0, "highEdge": 1.0}},
    "histogram of one output": {"calculations": {"ndvi": {"histograms": {"default": {"bins": [-1, 0, 0.5, 1]}}}}},
    "clear pixels": {"evalscript": "ndvi-clear"},
    "resampling": {"upsampling": "BILINEAR"},
    "last interval": {"aggregation_interval": "P15D", "last_interval": "SHORTEN"},
    "fusion": {"collection": FUSED, "evalscript": FUSION},
    "radar": {"collection": RADAR, "evalscript": RADAR_BANDS},
    "elevation": {"collection": ELEVATION, "evalscript": HEIGHTS},
    "every orbit": {"evalscript": ORBIT_STATISTICS, "samples": ORBITS_IN_TEN_DAYS},
}
TABLES = {name: {**_TABLE, **question} for name, question in TABLES.items()}
"""Arguments of the Statistics operator; every interval has scenes."""

_SEARCH: dict[str, Any] = {"collection": "sentinel-2-l2a", "datetime": DAYS, "bbox": LONLAT}

SEARCHES: dict[str, dict[str, Any]] = {
    "box": {},
    "geometry": {"bbox": None, "intersects": "POINT (14.02 46.02)"},
    "clouds": {"max_cloud_cover": 40},
    "filter": {"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 50]}},
    "fields": {"fields": {"include": ["id", "properties.datetime"]}},
    "distinct": {"distinct": "date"},
    "clearest": {"sort": "clearest", "limit": 2},
    "radar": {"collection": "sentinel-1-grd"},
}
SEARCHES = {name: {**_SEARCH, **question} for name, question in SEARCHES.items()}
"""Arguments of the Catalog search operator."""


def execute(operator: Any) -> dict[str, Any]:
    """Execute an operator as a task would, and close its connections; return its result, and what it pushed."""
    ti = TaskInstance()
    context: Any = {"ti": ti, "run_id": "r"}
    try:
        result = operator.execute(context)
    finally:
        if "_session" in vars(operator.hook):
            operator.hook.get_conn().close()
    return {"result": result, "pushed": ti.pushed}
