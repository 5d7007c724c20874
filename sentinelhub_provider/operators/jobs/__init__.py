"""Parts of the operators of remote jobs."""
