"""Batch Statistical: statistics of many polygons, delivered to object storage."""
