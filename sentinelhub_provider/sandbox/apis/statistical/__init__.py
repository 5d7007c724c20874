"""The Statistical API: an evalscript's outputs over a time series, summed up as numbers."""
