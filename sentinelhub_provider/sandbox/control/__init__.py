"""The control surface for tests, with counters, issued tokens, limits and faults. It is off by default."""
