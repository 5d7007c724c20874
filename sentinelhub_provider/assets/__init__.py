"""Assets with URIs of Sentinel Hub."""
