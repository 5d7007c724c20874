"""What Airflow reads about this provider at start-up: listings, settings and the connection form.

Every Airflow process loads this module, so it imports nothing but the version beside it.

The connection form is declared here and nowhere else. Airflow 3.2 and later read it as it stands; for Airflow 3.1 the
hook's form methods are derived from it. Keys are kebab-case, as
``airflow/provider.yaml.schema.json`` spells them: Airflow silently ignores any other spelling.

The key of an extra field never contains *token*, *secret*, *password* or *proxy*: Airflow masks the values of such
keys, in the form and in every log line.
"""

from __future__ import annotations

from typing import Any

from sentinelhub_provider import __version__

# Airflow's name for the connection type: lower case, since connection URIs lose the case of their scheme.
CONNECTION_TYPE = "sentinelhub"

# Import path of the hook that Airflow builds for a connection of this type.
HOOK_CLASS_NAME = "sentinelhub_provider.hooks.sentinelhub.SentinelHubHook"

_INTEGRATION = "Sentinel Hub"

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "port"],
    "relabeling": {"login": "Client ID", "password": "Client secret", "host": "Base URL"},
    "placeholders": {
        "login": "OAuth client of the deployment chosen in Extra Fields",
        "password": "shown once, when the OAuth client is created",
        "host": "empty: the address of the deployment that is chosen in Extra Fields",
    },
}


def _field(label: str, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


def _choice(label: str, description: str, choices: dict[str, str], **schema: Any) -> dict[str, Any]:
    return _field(label, description, enum=[*choices], values_display=choices, **schema)


CONN_FIELDS: dict[str, dict[str, Any]] = {
    "deployment": _choice(
        "Deployment",
        "Where your account lives: it decides base URL and token URL, there is none to copy. Register the OAuth "
        "client there, in the dashboard of Sentinel Hub or of the Copernicus Data Space, under User settings, "
        "OAuth clients. A client of one does not work at the other.",
        {
            "sentinel-hub": "Sentinel Hub (AWS eu-central-1)",
            "sentinel-hub-us-west-2": "Sentinel Hub (AWS us-west-2)",
            "copernicus-data-space": "Copernicus Data Space",
            "creodias": "Sentinel Hub on Creodias",
            "custom": "Custom (needs Base URL and Token URL)",
        },
        default="sentinel-hub",
    ),
    # Not "token_url": Airflow would mask its value (see the module's docstring).
    "auth_url": _field(
        "Token URL",
        "Address that issues access tokens. Only a custom deployment needs it; empty: the one of the deployment. "
        "It starts with https://; http:// is for this machine (localhost) only.",
        format="url",
    ),
    "client_auth": _choice(
        "Client authentication",
        "How ID and secret travel to the token URL: in the form body, as Sentinel Hub documents it, or in an HTTP "
        "Basic header, for a gateway that asks for it.",
        {
            "client_secret_post": "Form body (client_secret_post)",
            "client_secret_basic": "HTTP Basic header (client_secret_basic)",
        },
        default="client_secret_post",
    ),
    "scope": _field("Scope", "OAuth2 scopes to ask for, separated by spaces. Sentinel Hub needs none: leave it empty."),
    "path_scheme": _choice(
        "Path scheme",
        "How the deployment spells its paths: the current way puts the service first, the legacy way the version. "
        "Empty: the deployment's own.",
        {"current": "Current (/process/v1)", "legacy": "Legacy (/api/v1/process)"},
    ),
    "auth_cache": _field(
        "Authorization cache",
        "Where access tokens are kept, encrypted, so that each task need not ask for one: 'file', shared by this "
        "host's tasks (default); 'memory', this process only; 'redis://host:6379/0' or the ID of an Airflow "
        "connection of type Redis, shared by several hosts; 'variable', an Airflow Variable. Enter a URL without "
        "a password: the API shows it.",
        # No default: the form would save it, and Airflow warns of every extra shorter than five letters.
        examples=["file", "memory", "redis://localhost:6379/0", "variable"],
    ),
    "auth_cache_prefix": _field("Prefix in Redis", "What the names of Redis keys begin with. Empty: sentinelhub."),
    "requests_per_minute": _field(
        "Requests per minute",
        "Stay under this many requests a minute, counted across all tasks; your plan says how many it allows. "
        "Empty: the limit is learnt from Sentinel Hub's answers.",
        "integer",
        minimum=1,
    ),
    "processing_units_per_minute": _field(
        "Processing units per minute",
        "Stay under this many processing units (PU) a minute, counted across all tasks. Empty: no limit.",
        "integer",
        minimum=1,
    ),
    "processing_units_per_day": _field(
        "Processing units per day",
        "Budget: how many processing units (PU) all tasks together may spend in a day (UTC). A request over it fails "
        "before it is sent. Empty: no budget.",
        "integer",
        minimum=1,
    ),
    "processing_units_per_month": _field(
        "Processing units per month",
        "Budget: how many processing units (PU) all tasks together may spend in a calendar month. Empty: no budget.",
        "integer",
        minimum=1,
    ),
    "timeout": _field(
        "Timeout (seconds)",
        "How long a request waits for a connection, and for the next byte of its answer. Empty: 120.",
        "integer",
        minimum=1,
        maximum=3600,
    ),
    "verify": _field(
        "Verify TLS certificates",
        "Leave it on. Turn it off only for a test server with a self-signed certificate.",
        "boolean",
        default=True,
    ),
    "allowed_hosts": _field(
        "Further allowed hosts",
        "Hosts besides the base URL's that may be sent the access token, one per line; Airflow 3.1: separated by "
        "commas. Usually empty.",
        "array",
        items={"type": "string"},
    ),
}


def _modules(package: str, *names: str) -> list[dict[str, Any]]:
    modules = [f"sentinelhub_provider.{package}.{name}" for name in names]
    return [{"integration-name": _INTEGRATION, "python-modules": modules}]


CONFIG: dict[str, Any] = {
    "sentinelhub": {
        "description": "What the page Satellite imagery shows.",
        "options": {
            "previews": {
                "description": (
                    "How many tasks of a mapped task leave a preview and facts for the page Satellite imagery, in "
                    "XCom: the first ones. 0: no task leaves any."
                ),
                "version_added": "0.1.0",
                "type": "integer",
                "example": None,
                "default": "200",
            },
            "task_tab": {
                "description": (
                    "Whether the page of a task instance has a tab Imagery. Airflow shows it for all tasks, also for "
                    "those of others."
                ),
                "version_added": "0.1.0",
                "type": "boolean",
                "example": None,
                "default": "False",
            },
        },
    }
}


def get_provider_info() -> dict[str, Any]:
    """Return the metadata that Airflow's provider discovery reads through the entry point ``apache_airflow_provider``.

    It is valid against Airflow's lenient ``provider_info.schema.json`` and against the strict
    ``provider.yaml.schema.json``, the only one of the two that notices a misspelt form key.
    """
    return {
        # Airflow refuses to start when this differs from the distribution's normalized name (PEP 503).
        "package-name": "airflow-provider-sentinelhub",
        "name": _INTEGRATION,
        "description": (
            "Authorized calls to `Sentinel Hub <https://www.sentinel-hub.com/>`__ and the Copernicus Data Space "
            "Ecosystem: satellite imagery over HTTP, with OAuth2 tokens that are cached, shared and renewed.\n"
        ),
        # The strict schema asks for the next two keys, for Airflow's own release tools; nothing reads them at run time.
        "state": "ready",
        "source-date-epoch": 1795392000,
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.sentinel-hub.com/api/latest/",
                "tags": ["service"],
            }
        ],
        "hooks": _modules("hooks", "sentinelhub"),
        "operators": _modules(
            "operators",
            *(
                "async_process",
                "batch",
                "batch_statistics",
                "byoc",
                "catalog",
                "http",
                "job_control",
                "process",
                "statistics",
            ),
        ),
        "sensors": _modules("sensors", "catalog", "job"),
        "triggers": _modules("triggers", "byoc", "catalog", "job", "scene"),
        "asset-uris": [
            {
                "schemes": ["sentinelhub"],
                "handler": "sentinelhub_provider.assets.sentinelhub.sanitize_uri",
                "factory": "sentinelhub_provider.assets.sentinelhub.create_asset",
                "to_openlineage_converter": "sentinelhub_provider.assets.sentinelhub.convert_asset_to_openlineage",
            }
        ],
        # Airflow 3.2 and later; earlier ones pass over it.
        "cli": ["sentinelhub_provider.cli.definition.get_sentinelhub_cli_commands"],
        "config": CONFIG,
        "task-decorators": [
            {"name": "sentinelhub", "class-name": "sentinelhub_provider.decorators.sentinelhub.sentinelhub_task"}
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": HOOK_CLASS_NAME,
                "hook-name": _INTEGRATION,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONN_FIELDS,
            }
        ],
    }
