"""The stores that a sandbox can deliver to."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final, Protocol

from sentinelhub_provider.sandbox.world.delivery.locations import Access, Location

MISSING_BOTO3: Final = "the sandbox cannot deliver to an S3 endpoint: boto3 is not installed (pip install boto3)"


class DeliveryError(Exception):
    """Object storage that cannot be read or written. The text says where and why. It holds no credential."""


class Store(Protocol):
    """Object storage. Every method raises :class:`DeliveryError`."""

    def put(self, location: Location, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object. An existing one is replaced atomically."""

    def get(self, location: Location) -> bytes:
        """Read an object."""

    def exists(self, location: Location) -> bool:
        """Tell whether there is an object."""


class FolderStore:
    """A folder with a folder for each bucket. ``s3://bucket/key`` lies at ``<folder>/bucket/key``.

    A bucket must exist already, as in real object storage. The store does not check keys and roles.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = 0
        self._lock = threading.Lock()

    def put(self, location: Location, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Write a file by renaming it into its place."""
        del content_type
        path = self._path(location)
        with self._lock:
            self._numbers += 1
            part = path.with_name(f".{path.name}.{self._numbers}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(path)
        except OSError as error:
            raise DeliveryError(f"{location.url} cannot be written: {error.strerror}") from error

    def get(self, location: Location) -> bytes:
        """Read a file."""
        try:
            return self._path(location).read_bytes()
        except OSError as error:
            raise DeliveryError(f"{location.url} cannot be read: NoSuchKey") from error

    def exists(self, location: Location) -> bool:
        """Tell whether there is such a file."""
        return self._path(location).is_file()

    def _path(self, location: Location) -> Path:
        bucket = self._folder / location.bucket
        if not bucket.is_dir():
            raise DeliveryError(
                f"{location.url}: NoSuchBucket, the bucket {location.bucket} does not exist (a sandbox that delivers "
                "to a folder has a folder for each bucket in it)"
            )
        path = bucket / location.key
        if not path.resolve().is_relative_to(bucket.resolve()):
            raise DeliveryError(f"{location.url}: AccessDenied, the key leads out of the bucket")
        return path


class S3Store:
    """An S3 endpoint, reached with the credentials of each request.

    A request with a role uses the credentials of the sandbox's own environment, because there is no role to assume. A
    request without credentials and without a role is not signed.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._clients: dict[Access, Any] = {}
        self._lock = threading.Lock()

    def put(self, location: Location, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Put an object."""
        client = self._client(location)
        self._call(location, client.put_object, "written", Body=content, ContentType=content_type)

    def get(self, location: Location) -> bytes:
        """Get an object."""
        answer = self._call(location, self._client(location).get_object, "read")
        content: bytes = answer["Body"].read()
        return content

    def exists(self, location: Location) -> bool:
        """Send a HEAD request for an object."""
        try:
            self._call(location, self._client(location).head_object, "read")
        except DeliveryError as error:
            if str(error).endswith((": 404", ": NoSuchKey", ": NotFound")):
                return False
            raise
        return True

    def _call(self, location: Location, method: Any, done: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            return method(Bucket=location.bucket, Key=location.key, **arguments)
        except ClientError as error:
            # The service's own text may repeat the access key.
            raise DeliveryError(f"{location.url} cannot be {done}: {error.response['Error'].get('Code')}") from None
        except BotoCoreError as error:
            raise DeliveryError(f"{location.url} cannot be {done}: {type(error).__name__}") from None

    def _client(self, location: Location) -> Any:
        if location.scheme != "s3":
            raise DeliveryError(f"{location.url}: a sandbox that delivers to an S3 endpoint knows no gs:// buckets")
        with self._lock:
            client = self._clients.get(location.access)
            if client is None:
                client = self._clients[location.access] = _make_client(self._endpoint, location.access)
            return client


def _make_client(endpoint: str, access: Access) -> Any:
    try:
        import boto3  # type: ignore[import-untyped]
        from botocore import UNSIGNED  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise DeliveryError(MISSING_BOTO3) from error
    unsigned = access.access_key is None and access.role is None
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_access_key,
        region_name=access.region or "us-east-1",
        config=Config(
            signature_version=UNSIGNED if unsigned else None,
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 2},
            connect_timeout=5,
            read_timeout=20,
        ),
    )


def open_store(delivery: str | Path) -> Store:
    """Open the store of the setting ``delivery``. An http(s) URL is an S3 endpoint, anything else a folder.

    Raises ``ValueError`` for a folder that does not exist.
    """
    if isinstance(delivery, str) and delivery.startswith(("http://", "https://")):
        return S3Store(delivery)
    if not Path(delivery).is_dir():
        raise ValueError(
            "delivery must be a folder with a folder for each bucket, or the URL of an S3 endpoint; "
            f"{delivery} is neither"
        )
    return FolderStore(Path(delivery))
