"""Coordinate systems, geometries and features in their usual formats."""
