"""The Process API: a request in, an image out."""
