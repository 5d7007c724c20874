"""The table's format, columns, and the line that tells how far the work is."""

from __future__ import annotations

import pytest

from sentinelhub_provider.api.statistical.table import column_names, progress_line, table_format
from sentinelhub_provider.exceptions import SentinelHubRequestError


@pytest.mark.parametrize(
    ("path", "kind"), [("a.csv", "csv"), ("s3://c@b/a.JSONL", "jsonl"), ("a.ndjson", "jsonl"), ("a.parquet", "parquet")]
)
def test_the_ending_says_the_format(path: str, kind: str):
    """In either case of letters."""
    assert table_format(path) == kind


def test_a_format_that_is_wanted_comes_first():
    """Whatever the path ends with."""
    assert table_format("a.txt", "csv") == "csv"


@pytest.mark.parametrize(("path", "wanted"), [("a.txt", None), ("a.csv", "xlsx")])
def test_an_unknown_format_is_refused(path: str, wanted: str | None):
    """With those that are known."""
    with pytest.raises(SentinelHubRequestError, match="csv"):
        table_format(path, wanted)


def test_percentiles_of_all_outputs_are_columns():
    """In rising order, each once."""
    ndvi = {"statistics": {"default": {"percentiles": {"k": [50, 2.5]}}}}
    other = {"statistics": {"B0": {"percentiles": {"k": [50, 99]}}, "B1": {}}}
    names = column_names({"calculations": {"ndvi": ndvi, "default": other}})
    assert names[names.index("no_data_count") + 1 :] == ["p2.5", "p50", "p99", "error"]


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        ((500, 500, 2000, 50.0, 12.0, 0), "500 of 2,000 features (25 %), 10.0/s, 2 min 30 s left, 12 PU"),
        ((1500, 10, 2000, 5.0, 12.0, 5), "1,500 of 2,000 features (75 %), 2.0/s, 4 min 8 s left, 12 PU, 5 failed"),
        ((10, 10, 100000, 10.0, 0.1, 0), "10 of 100,000 features (0 %), 1.0/s, 27 h 46 min left, 0.1 PU"),
        ((2, 2, 2, 0.0, 0.1, 0), "2 of 2 features (100 %), 0.0/s, 0.1 PU"),
        ((0, 0, 2, 0.0, 0.0, 0), "0 of 2 features (0 %), 0.0/s, 0 PU"),
    ],
)
def test_progress_tells_rate_and_time_left(figures: tuple, line: str):
    """By the rate of this try, whatever earlier ones brought."""
    names = ("done", "requested", "whole", "seconds", "units", "failed")
    assert progress_line(**dict(zip(names, figures, strict=True))) == line
