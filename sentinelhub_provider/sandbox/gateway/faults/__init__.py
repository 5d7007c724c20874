"""Injected faults: what goes wrong between a client and an API, and for which requests."""
