"""Sends one request: authorized, bounded in time and safely repeated. It does not know the APIs."""
