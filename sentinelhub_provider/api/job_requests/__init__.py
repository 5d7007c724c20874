"""The requests that create Batch Process, Batch Statistics and Async Process jobs."""
