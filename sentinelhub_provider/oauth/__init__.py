"""OAuth2 client credentials (RFC 6749 section 4.4). This package does no I/O and knows neither Airflow nor the APIs."""
