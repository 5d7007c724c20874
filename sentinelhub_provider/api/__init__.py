"""Sentinel Hub's vocabulary: paths, pages, request bodies. Pure: no I/O, no Airflow, no HTTP library.

Readers and builders raise :class:`~sentinelhub_provider.exceptions.SentinelHubRequestError` where a value
cannot be meant: its ``field`` names the argument, its message says what was wrong with it and what to give.
"""
