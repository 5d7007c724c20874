"""The Statistical API: its requests, its answers, and the table that comes of them."""
