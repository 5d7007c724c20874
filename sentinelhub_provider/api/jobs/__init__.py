"""Remote jobs: their states, and how one is found, started and waited for."""
