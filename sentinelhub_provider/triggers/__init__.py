"""Triggers, which wait in the triggerer without holding a worker slot."""
