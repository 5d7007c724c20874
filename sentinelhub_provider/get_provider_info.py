"""The provider's description for Airflow's start-up: listings, settings and the connection form.

Every Airflow process loads this module, so it imports nothing but the version beside it.

The connection form is declared here only. Airflow 3.2 and later read it directly. For Airflow 3.1 the hook's form
methods are derived from it. Keys are kebab-case, as in ``airflow/provider.yaml.schema.json``, because Airflow silently
ignores any other spelling.

The key of an extra field never contains *token*, *secret*, *password* or *proxy*. Airflow masks the values of such keys
in the form and in every log line.
"""

from __future__ import annotations

from typing import Any

from sentinelhub_provider import __version__

# Airflow's name for the connection type. It is lower case because connection URIs lose the case of their scheme.
CONNECTION_TYPE = "sentinelhub"

# Import path of the hook that Airflow builds for a connection of this type.
HOOK_CLASS_NAME = "sentinelhub_provider.hooks.sentinelhub.SentinelHubHook"

_INTEGRATION = "Sentinel Hub"

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "port"],
    "relabeling": {"login": "Client ID", "password": "Client secret", "host": "Base URL"},
    "placeholders": {
        "login": "OAuth client of the deployment chosen in Extra Fields",
        "password": "shown once, when you create the OAuth client",
        "host": "leave empty for the address of the deployment in Extra Fields",
    },
}


def _field(label: str, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


def _choice(label: str, description: str, choices: dict[str, str], **schema: Any) -> dict[str, Any]:
    return _field(label, description, enum=[*choices], values_display=choices, **schema)


CONN_FIELDS: dict[str, dict[str, Any]] = {
    "deployment": _choice(
        "Deployment",
        "Where your account lives. It decides base URL and token URL, so you need not enter them. Register the OAuth "
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
        "OAuth2 token endpoint. Only a custom deployment needs it. Leave it empty for the deployment's own. "
        "It starts with https://. Plain http:// is for this machine (localhost) only.",
        format="url",
    ),
    "client_auth": _choice(
        "Client authentication",
        "How ID and secret travel to the token URL. Sentinel Hub documents the form body. Choose the HTTP Basic header "
        "for a gateway that asks for it.",
        {
            "client_secret_post": "Form body (client_secret_post)",
            "client_secret_basic": "HTTP Basic header (client_secret_basic)",
        },
        default="client_secret_post",
    ),
    "scope": _field("Scope", "OAuth2 scopes to ask for, separated by spaces. Leave it empty for Sentinel Hub."),
    "path_scheme": _choice(
        "Path scheme",
        "How the deployment spells its paths. The current scheme puts the service first, the legacy one the version. "
        "Leave it empty for the deployment's own.",
        {"current": "Current (/process/v1)", "legacy": "Legacy (/api/v1/process)"},
    ),
    "auth_cache": _field(
        "Authorization cache",
        "Where tasks share access tokens, encrypted. 'file' (default) shares them on this host and 'memory' within one "
        "process. 'redis://host:6379/0', or the ID of an Airflow connection of type Redis, shares them between hosts. "
        "So does 'variable', an Airflow Variable. Enter a URL without a password, because the API shows it.",
        # There is no default. The form would save it, and Airflow warns of every extra shorter than five letters.
        examples=["file", "memory", "redis://localhost:6379/0", "variable"],
    ),
    "auth_cache_prefix": _field("Prefix in Redis", "Start of the names of Redis keys. Default sentinelhub."),
    "requests_per_minute": _field(
        "Requests per minute",
        "Limit for the requests per minute of all tasks together. Your plan says how many it allows. "
        "Leave it empty to learn the limit from Sentinel Hub's answers.",
        "integer",
        minimum=1,
    ),
    "processing_units_per_minute": _field(
        "Processing units per minute",
        "Limit for the processing units (PU) per minute of all tasks together. Leave it empty for no limit.",
        "integer",
        minimum=1,
    ),
    "processing_units_per_day": _field(
        "Processing units per day",
        "Budget of processing units (PU) per day (UTC) for all tasks together. A request over it fails and is not "
        "sent. Leave it empty for no budget.",
        "integer",
        minimum=1,
    ),
    "processing_units_per_month": _field(
        "Processing units per month",
        "Budget of processing units (PU) per calendar month (UTC) of all tasks. Leave it empty for no budget.",
        "integer",
        minimum=1,
    ),
    "timeout": _field(
        "Timeout (seconds)",
        "How long a request waits for a connection and for the next byte of its answer. Default 120.",
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
        "Hosts besides the base URL's that may get the access token, one per line (Airflow 3.1: separated by "
        "commas). Usually empty.",
        "array",
        items={"type": "string"},
    ),
}


def _modules(package: str, *names: str) -> list[dict[str, Any]]:
    modules = [f"sentinelhub_provider.{package}.{name}" for name in names]
    return [{"integration-name": _INTEGRATION, "python-modules": modules}]


CONFIG: dict[str, Any] = {
    "sentinelhub": {
        "description": "The page Satellite imagery.",
        "options": {
            "previews": {
                "description": (
                    "How many tasks of a mapped task leave a preview and facts in XCom for the page Satellite imagery. "
                    "The first ones do. With 0 no task does."
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
    """Return the metadata for Airflow's provider discovery, which calls the entry point ``apache_airflow_provider``.

    The metadata is valid against Airflow's lenient ``provider_info.schema.json`` and the strict
    ``provider.yaml.schema.json``. Only the strict one notices a misspelt form key.
    """
    return {
        # Airflow refuses to start when this differs from the distribution's normalized name (PEP 503).
        "package-name": "airflow-provider-sentinelhub",
        "name": _INTEGRATION,
        "description": (
            "Authorized calls to `Sentinel Hub <https://www.sentinel-hub.com/>`__ and the Copernicus Data Space "
            "Ecosystem: satellite imagery over HTTP, with OAuth2 tokens that are cached, shared and renewed.\n"
        ),
        # The strict schema requires the next two keys for Airflow's release tools. Nothing reads them at run time.
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
        # Airflow 3.2 and later. Earlier versions ignore it.
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
