"""The BYOC API, for a user's own collections and their tiles."""
