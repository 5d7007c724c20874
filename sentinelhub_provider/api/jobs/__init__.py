"""Remote jobs, with their states and the flows that find, start and await them."""
