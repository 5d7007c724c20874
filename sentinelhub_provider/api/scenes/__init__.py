"""Searches for new scenes, and announces each once."""
