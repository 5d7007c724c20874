"""The requests that create jobs: Batch Process, Batch Statistics and Async Process."""
