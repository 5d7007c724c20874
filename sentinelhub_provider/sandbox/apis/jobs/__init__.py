"""Jobs: what Async Process, Batch Process and Batch Statistical have in common - states, time, work, control."""
