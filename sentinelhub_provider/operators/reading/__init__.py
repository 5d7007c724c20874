"""Reading the files that arguments name."""
