"""One folder for each API: its URLs, what they do, the bodies that they take."""
