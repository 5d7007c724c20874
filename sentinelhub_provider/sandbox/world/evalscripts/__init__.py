"""Evalscripts V3: what they declare, and running them in V8."""
