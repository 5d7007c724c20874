"""Sensors, one module per API."""
