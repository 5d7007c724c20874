"""The Catalog API: STAC API 1.0.0 over the scenes of the sandbox."""
