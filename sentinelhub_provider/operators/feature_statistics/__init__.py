"""Parts of the Statistics operator: requests of many features, their answers on disk, and tables."""
