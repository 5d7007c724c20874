"""The control surface for tests: counters, issued tokens, limits, faults. Apart from the APIs, off unless asked for."""
