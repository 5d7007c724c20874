"""One folder for each API, with its URLs, their handlers, and their bodies."""
