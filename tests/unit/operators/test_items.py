"""Where the files of a picture are, as seen from its item."""

from __future__ import annotations

import pytest

from sentinelhub_provider.hooks.output import relative

SEEN = {
    ("/data/a/ndvi.tif", "/data/a"): "./ndvi.tif",
    ("file:///data/a/ndvi.tif", "/data/items"): "../a/ndvi.tif",
    ("s3://storage@bucket/a/ndvi.tif", "s3://bucket/items"): "../a/ndvi.tif",
    ("s3://storage@bucket/ndvi.tif", "s3://other@bucket"): "./ndvi.tif",
    ("s3://storage@bucket/a/ndvi.tif", "s3://storage@another/a"): "s3://bucket/a/ndvi.tif",
    ("gs://storage@bucket/a/ndvi.tif", "s3://storage@bucket/a"): "gs://bucket/a/ndvi.tif",
    ("s3://storage@bucket/a/ndvi.tif", "/data/a"): "s3://bucket/a/ndvi.tif",
    ("/data/a/ndvi.tif", "s3://storage@bucket/a"): "file:///data/a/ndvi.tif",
}
"""What leads from a folder to a file."""


@pytest.mark.parametrize(("path", "folder"), SEEN)
def test_files_are_named_relative_within_a_storage_and_else_by_url(path: str, folder: str):
    """Without a connection."""
    assert relative(path, folder) == SEEN[path, folder]
