"""Object storage that jobs read from and deliver to: a local folder, or an S3 endpoint."""
