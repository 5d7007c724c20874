"""An embedded Sentinel Hub for trials, demos and tests. ``python -m sentinelhub_provider.sandbox`` runs it.

It imports nothing of the rest of this package, so that a mistake in the client cannot hide behind the same mistake in
the service. Importing this package loads nothing. To use it from Python, see ``server.SandboxServer``.
"""
