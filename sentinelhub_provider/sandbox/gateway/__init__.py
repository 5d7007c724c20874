"""What stands in front of every API: counting, latency, faults, body size, the bearer check, limits, error shapes."""
