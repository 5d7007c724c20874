"""Reading features - fields, parcels, districts - from the files that people keep them in, one at a time.

Any task may use it: see :func:`open_features`. GeoJSON and WKT need nothing more; what GDAL reads (Shapefile,
GeoPackage, FlatGeobuf, KML) needs the extra ``vector``, GeoParquet the extra ``parquet``.
"""

from __future__ import annotations

from sentinelhub_provider.api.geo.geometry import Feature
from sentinelhub_provider.features.reader import Features, open_features

__all__ = ["Feature", "Features", "open_features"]
