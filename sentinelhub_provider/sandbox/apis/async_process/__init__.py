"""Async Process: one large raster, delivered to object storage."""
