"""The one call of the Configuration API that Sentinel Hub's own authentication examples make."""
