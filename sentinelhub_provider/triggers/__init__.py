"""What waits in the triggerer, without holding a worker slot."""
