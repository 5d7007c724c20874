"""Batch Process, version 2: rasters of many features, delivered to object storage."""
