"""Injected faults between a client and an API, and the requests that they affect."""
