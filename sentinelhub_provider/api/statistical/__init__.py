"""The Statistical API: what is asked, what is answered, and the table that comes of it."""
