"""What was made, as STAC: an Item of each picture, and a Collection of the items in a folder. Needs pystac."""

from __future__ import annotations

ITEM_SUFFIX = ".stac.json"
"""What the names of items' files end with."""
