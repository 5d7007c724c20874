"""An embedded Sentinel Hub for trials, demos and tests. Start it by ``python -m sentinelhub_provider.sandbox``.

It imports nothing of the rest of this package, so that a mistake in the client cannot hide behind the same mistake in
the service. Importing this package loads nothing. See ``server.SandboxServer`` for use from Python.
"""
