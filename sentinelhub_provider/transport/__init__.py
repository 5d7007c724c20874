"""One request, done right: authorized, bounded in time, repeated where that is safe. Knows not what an API means."""
