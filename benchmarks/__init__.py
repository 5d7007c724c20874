"""Speed, memory, and behaviour of a fleet, measured on loopback: ``python -m benchmarks``.

One module per subject, each with ``tables()``, which measures and returns the tables that are printed. Both sides of a
comparison run in the same minute against the same server (:mod:`benchmarks.server`), taking turns.
"""
