"""Places: coordinate systems, geometries and features, in the formats that they come in."""
