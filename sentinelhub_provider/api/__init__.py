"""Sentinel Hub's vocabulary, such as paths, pages and request bodies, without I/O, Airflow or an HTTP library.

Readers and builders raise :class:`~sentinelhub_provider.exceptions.SentinelHubRequestError` for a value
that cannot be meant. Its ``field`` names the argument, and its message says what was wrong and what to give.
"""
