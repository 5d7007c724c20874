"""A real S3 server on loopback: moto's, in this process, with one empty bucket, and a connection that opens it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ACCESS_KEY = "AKIAUNITTESTS0000001"
SECRET_KEY = "bucket-secret-of-the-tests"
BUCKET = "results"


@dataclass(frozen=True)
class S3Server:
    """The server. ``endpoint``: its URL; ``client``: boto3's, for what a test puts there and looks at."""

    endpoint: str
    client: Any

    def connection(self, **changes: Any) -> str:
        """Return an Airflow connection to it as JSON, for ``AIRFLOW_CONN_...``."""
        extra = {"endpoint_url": self.endpoint, "region_name": "us-east-1", **changes.pop("extra", {})}
        document = {"conn_type": "aws", "login": ACCESS_KEY, "password": SECRET_KEY, "extra": extra, **changes}
        return json.dumps(document)

    def put(self, key: str, content: bytes | str, bucket: str = BUCKET) -> None:
        """Write an object."""
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, key: str, bucket: str = BUCKET) -> bytes:
        """Read an object."""
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def keys(self, bucket: str = BUCKET) -> list[str]:
        """List the objects."""
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=bucket).get("Contents", ())]

    def empty(self, bucket: str = BUCKET) -> None:
        """Remove all objects."""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", ()):
                self.client.delete_object(Bucket=bucket, Key=found["Key"])


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server until the context ends."""
    import boto3
    import moto.backends
    from moto.server import ThreadedMotoServer

    # It looks through its folders with each request, which takes longer than the answer.
    modules = list(moto.backends.list_of_moto_modules())
    moto.backends.list_of_moto_modules = lambda: modules

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it logs each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        yield S3Server(endpoint, client)
        client.close()
    finally:
        server.stop()
