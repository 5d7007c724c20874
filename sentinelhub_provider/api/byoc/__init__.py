"""The BYOC API: a user's own collections and their tiles."""
