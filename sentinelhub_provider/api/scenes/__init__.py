"""New scenes: searching for them, and announcing each once."""
