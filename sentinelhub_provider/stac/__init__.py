"""STAC of the results: an Item for each picture and a Collection of the items in a folder. Needs pystac."""

from __future__ import annotations

COLLECTION_FILE = "collection.json"
"""Name of the Collection beside its items."""

ITEM_SUFFIX = ".stac.json"
"""End of the names of items' files."""
