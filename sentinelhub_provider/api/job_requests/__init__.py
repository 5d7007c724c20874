"""What is sent to create a job: Batch Process, Batch Statistics and Async Process."""
