"""The Statistical API, with its requests, its answers, and the table of their statistics."""
