"""What the Statistics operator is made of: requests of many features, their answers on disk, and tables."""
