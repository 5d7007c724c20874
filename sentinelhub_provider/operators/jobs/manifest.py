"""What an analysed Batch Process job will make: the rasters that its manifest lists, before anything is paid for."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from sentinelhub_provider.api.job_requests.feature_sizes import FeatureSizes
from sentinelhub_provider.operators.jobs.buckets import BucketError, Unchecked, fetch, find_file_of_job


def sizes_in_manifest(url: str, job_id: str, conn_id: str | None = None) -> FeatureSizes | Unchecked:
    """
    Read the sizes of an analysed job's features from ``featureManifest-<id>.gpkg``.

    :param url: the job's delivery URL, with its placeholders.
    :param conn_id: Airflow connection that reads the bucket.
    """
    name = f"featureManifest-{job_id}.gpkg"
    try:
        found = find_file_of_job(url, job_id, name, conn_id)
        if isinstance(found, Unchecked):
            return found
        with tempfile.TemporaryDirectory(prefix="sentinelhub-") as temporary:
            copy = Path(temporary) / "manifest.gpkg"
            fetch(found, str(copy))
            return read_sizes(copy)
    except BucketError as error:
        return Unchecked(str(error))
    except sqlite3.Error as error:
        return Unchecked(f"{name} is no manifest of features ({error})")


def read_sizes(path: Path) -> FeatureSizes:
    """
    Add up the features of a manifest; each is listed once for each output, and counted once.

    :raises sqlite3.Error: where it is none.
    """
    sizes = FeatureSizes()
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'").fetchall()
        for (table,) in tables:
            quoted = '"' + str(table).replace('"', '""') + '"'
            rows = database.execute(
                f"SELECT width, height, count(DISTINCT identifier) FROM {quoted} "  # noqa: S608 - quoted as SQL wants it
                "WHERE width > 0 AND height > 0 GROUP BY width, height"
            )
            for width, height, number in rows:
                sizes.add(int(width), int(height), int(number))
    if not sizes.count:
        raise sqlite3.DatabaseError("it lists no feature with a size")
    return sizes
