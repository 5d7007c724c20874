"""OAuth2 client credentials (RFC 6749 section 4.4): knows neither Airflow nor Sentinel Hub's APIs, and does no I/O."""
