"""Bring your own COG: collections of one's own files, and their tiles on the way to being ingested."""
