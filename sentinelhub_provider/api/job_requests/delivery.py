"""The places in an object storage that a job reads and writes, and their credentials.

Requests carry the credentials in plain text, next to the URL. So this module keeps them apart. A request's ``body`` has
no credentials and may be logged, compared and recorded. Only its ``payload()``, made right before sending, has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import astuple, dataclass, field, replace
from difflib import get_close_matches
from functools import reduce
from typing import Any, ClassVar, NoReturn, Self

from sentinelhub_provider.api.evalscripts import Setup
from sentinelhub_provider.exceptions import SentinelHubRequestError

SECRET_MEMBERS = ("accessKey", "secretAccessKey", "credentials")
"""Members of a request that hold credentials. ``iamRoleARN`` is a name, and useless to anybody else."""

CDSE = "copernicus-data-space"
"""The deployment that takes S3 with keys only (its API reference leaves out roles and Google Cloud Storage)."""

_URL = re.compile(r"(s3|gs)://([^/@\s]+)(/[^\s]*)?")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_PLACEHOLDER = re.compile(r"<([^<>/]*)>")
_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/\S+")

Path = tuple[str, ...]
"""The path of a storage in a request, as names of members such as ``("output", "delivery")``."""


@dataclass(frozen=True, slots=True)
class Access:
    """How Sentinel Hub reaches a bucket. For S3, this is by keys or an IAM role, by default in the deployment's region.

    ``credentials`` are those of Google Cloud Storage, a service account's JSON in Base64.
    """

    access_key: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    role_arn: str | None = None
    region: str | None = None
    credentials: str | None = field(default=None, repr=False)

    @property
    def scheme(self) -> str:
        """``s3`` or ``gs``."""
        return "s3" if self.credentials is None else "gs"

    @property
    def fault(self) -> str | None:
        """Return the reason why it is impossible. Keys come in pairs, and without a role."""
        keys = (self.access_key is not None, self.secret_access_key is not None)
        if any(keys) and self.role_arn is not None:
            return "both keys and an IAM role are given. Give one of them"
        if any(keys) and not all(keys):
            return f"the {'secret access key' if keys[0] else 'access key id'} is missing. Give both, or an IAM role"
        if self.role_arn is not None and not _ROLE.fullmatch(str(self.role_arn)):
            return f"{self.role_arn!r} is not an ARN of an IAM role, such as arn:aws:iam::123456789012:role/x"
        return None

    def to_json(self) -> dict[str, str]:
        """Return the members beside ``url``, in plain text."""
        members = ("accessKey", "secretAccessKey", "iamRoleARN", "region", "credentials")
        return {name: value for name, value in zip(members, astuple(self), strict=True) if value is not None}


Keyring = Callable[[str], Access | None]  # Returns the access to a bucket from a URL in it


@dataclass(frozen=True, slots=True)
class Template:
    """The placeholders of a delivery's URL. Any need one of ``unique``. Several outputs need ``output``."""

    names: tuple[str, ...]
    unique: tuple[str, ...] = ()
    output: str | None = None


RASTER = Template(("requestId", "tileName", "outputId", "format"), unique=("tileName",), output="outputId")
ZARR = Template(("requestId",))
ASYNC = Template(("REQUEST_ID", "OUTPUT"), output="OUTPUT")
STATISTICS = Template(("REQUEST_ID", "ID", "IDENTIFIER"), unique=("ID", "IDENTIFIER"))
"""The templates of Batch Process with raster and Zarr output, Async Process, and Batch Statistics (API reference)."""

PLAIN = Template(())  # For files that a job reads, without placeholders


@dataclass(frozen=True, slots=True)
class Location:
    """A place in an object storage. Without ``access``, the bucket itself grants access to Sentinel Hub."""

    url: str
    access: Access | None = None

    @property
    def scheme(self) -> str:
        """``s3`` or ``gs``."""
        return self.url.partition(":")[0]

    def to_json(self) -> dict[str, Any]:
        """Return URL, role and region for a request, without the keys."""
        members = {} if self.access is None else self.access.to_json()
        shown = {name: value for name, value in members.items() if name not in SECRET_MEMBERS}
        return {self.scheme: {"url": self.url, **shown}}

    def tagged(self, tag: str) -> Location:
        """Return the place in a folder of its own before any placeholder, as in ``s3://bucket/<tag>/<requestId>``."""
        folder = fixed_folder(self.url)
        rest = self.url[len(folder) :].lstrip("/")
        return replace(self, url=f"{folder}/{tag}/{rest}" if rest else f"{folder}/{tag}")

    def check(
        self,
        field: str,
        *,
        template: Template = PLAIN,
        outputs: int = 1,
        needs_access: bool = False,
        deployment: str | None = None,
    ) -> None:
        """Refuse an impossible place. With ``needs_access``, it needs credentials or a role, as Google always does."""
        url, access = self.url, self.access
        match = _URL.fullmatch(url)
        if match is None or not _BUCKET.fullmatch(match[2]):
            if "@" in url.partition("://")[2].partition("/")[0]:
                advice = "Leave it out: connections have arguments of their own."
                _refuse(f"names an Airflow connection before the bucket. {advice}", field)
            _refuse(f"is {_shown(url)!r}. Give a URL such as s3://my-bucket/folder.", field)
        here, is_s3 = self.scheme, self.scheme == "s3"
        if access is not None and access.scheme != here:
            _refuse(
                f"is at {here}://, but the credentials are for {access.scheme}://. Give those of the bucket.", field
            )
        if access is not None and access.fault:
            _refuse(f"cannot be reached: {access.fault}.", field)
        if deployment == CDSE and (not is_s3 or (access is not None and access.role_arn is not None)):
            what = "an IAM role" if is_s3 else "Google Cloud Storage"
            _refuse(
                f"has {what}, which the Copernicus Data Space cannot use. Give an s3:// URL with access keys.", field
            )
        is_open = access is not None and any((access.access_key, access.role_arn, access.credentials))
        if (needs_access or not is_s3) and not is_open:
            role = ", or an IAM role" if is_s3 and deployment != CDSE else ""
            what = (
                "has no credentials, so that Sentinel Hub cannot reach the bucket. Give the id of an Airflow connection"
            )
            _refuse(f"{what} that holds them{role}.", field)
        _check_placeholders(url, field, template, outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A checked request that creates a job. Its ``body`` has no credentials, so you can log, compare and record it.

    ``places`` are its storages by their paths in it. Results go to the one at ``DELIVERY``. ``digest`` is the
    hexadecimal SHA-256 of the request without the job tag.
    """

    DELIVERY: ClassVar[Path] = ("output", "delivery")

    body: dict[str, Any]
    places: Mapping[Path, Location]
    digest: str
    setup: Setup | None
    warnings: tuple[str, ...] = ()

    @property
    def delivery(self) -> Location:
        """The place of the results."""
        return self.places[self.DELIVERY]

    def payload(self) -> dict[str, Any]:
        """Return the body to send, with credentials. It must not be logged or kept."""
        payload = deepcopy(self.body)
        for path, place in self.places.items():
            if place.access is not None:
                _member_at(payload, path)[place.scheme].update(place.access.to_json())
        return payload

    def tagged(self, tag: str) -> Self:
        """Return the request with a folder of its own for its results, by which they are found again."""
        body, delivery = deepcopy(self.body), self.delivery.tagged(tag)
        _member_at(body, self.DELIVERY)[delivery.scheme]["url"] = delivery.url
        return replace(self, body=body, places={**self.places, self.DELIVERY: delivery})


def _member_at(body: Mapping[str, Any], path: Path) -> Any:
    return reduce(lambda member, name: member[name], path, body)


def check_one_script(evalscript: Any, reference: Any, *, of_request: str | None = None) -> None:
    """Refuse an evalscript that is given twice, or not at all. ``of_request`` is its part of a request's JSON."""
    if (evalscript is None) == (reference is None):
        given = "are both missing" if evalscript is None else "are both given"
        who = "evalscript and evalscript_url"
        if of_request is not None:
            who = f"{of_request}: evalscript and evalscriptReference"
        raise SentinelHubRequestError(f"{who} {given}. Give one.")


def read_location(storage: Any, keys: Keyring, *, field: str, path: Path, **checks: Any) -> Location:
    """Check a place of a request's JSON at ``path``, such as ``{"s3": {"url": ...}}``. For ``checks``, see above."""
    where = f"{field}: {'.'.join(path)}"
    found = [name for name in ("s3", "gs") if isinstance(storage, Mapping) and isinstance(storage.get(name), Mapping)]
    if len(found) != 1:
        raise SentinelHubRequestError(f"{where} must be a mapping with s3 or gs, and a url within.")
    members = storage[found[0]]
    url = members.get("url")
    if not str(url).startswith(f"{found[0]}://"):
        raise SentinelHubRequestError(
            f"{where}.{found[0]}.url is {_shown(url)!r}. Give a URL that begins with {found[0]}://."
        )
    role, region, access = members.get("iamRoleARN"), members.get("region"), keys(str(url))
    if access is None and (role or region):
        access = Access(role_arn=role, region=region)
    elif access is not None and role and access.access_key:
        raise SentinelHubRequestError(f"{where} has iamRoleARN, but keys are given too. Give one.")
    elif access is not None and region and access.credentials is None:
        access = replace(access, region=region)
    location = Location(str(url).strip(), access)
    location.check(where, **checks)
    return location


def fixed_folder(url: str) -> str:
    """Return the part of a URL that does not depend on placeholders, without a slash at its end."""
    before = url.partition("<")[0]
    return (before.rpartition("/")[0] if before != url else url).rstrip("/")


def refuse_credentials(body: Any, field: str = "request") -> None:
    """Refuse a request that holds credentials, because Airflow renders, logs and stores a DAG's arguments."""
    for path in _secrets(body, ()):
        raise SentinelHubRequestError(
            f"{field}: {'.'.join(path)} is a credential, which would stand in the DAG's source, its rendered fields "
            "and the database. Leave it out, and give the id of an Airflow connection that holds it, or an IAM role."
        )


def _secrets(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            if name in SECRET_MEMBERS and member is not None:
                yield (*path, str(name))
            else:
                yield from _secrets(member, (*path, str(name)))
    elif isinstance(value, list | tuple):
        yield from _secrets({str(number): item for number, item in enumerate(value)}, path)


def _check_placeholders(url: str, field: str, template: Template, outputs: int) -> None:
    bucket = url.partition("://")[2].partition("/")[0]
    names = _PLACEHOLDER.findall(url)
    if "<" in bucket or url.count("<") != len(names) or url.count(">") != len(names):
        _refuse(f"{url!r} has a '<' or '>' that belongs to no placeholder in a folder or file name.", field)
    for name in names:
        if name not in template.names:
            allowed = ", ".join(f"<{known}>" for known in template.names)
            lower = {known.replace("_", "").lower(): known for known in template.names}
            near = get_close_matches(name.replace("_", "").lower(), lower, n=1)
            hint = f" Did you mean <{lower[near[0]]}>?" if near else ""
            _refuse(
                f"has the placeholder <{name}>; there {f'is {allowed}' if allowed else 'is none here'}.{hint}", field
            )
    if names and template.unique and not set(names) & set(template.unique):
        needed = " or ".join(f"<{name}>" for name in template.unique)
        _refuse(
            f"{url!r} has placeholders, but not {needed}, without which results would overwrite each other. Add it, "
            "or give a folder without any placeholder.",
            field,
        )
    if names and outputs > 1 and template.output is not None and template.output not in names:
        _refuse(
            f"{url!r} has no <{template.output}>, but there are {outputs} outputs, which would overwrite each other. "
            "Add it.",
            field,
        )


def _refuse(what: str, field: str) -> NoReturn:
    raise SentinelHubRequestError(f"{field} {what}")


def _shown(url: Any) -> Any:
    """Return the part of a broken URL that may be shown. It may hold keys that somebody put before the bucket."""
    return re.sub(r"//[^/@]*@", "//***@", url) if isinstance(url, str) else url
