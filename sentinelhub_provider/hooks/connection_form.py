"""The connection form for Airflow 3.1, derived from :func:`sentinelhub_provider.get_provider_info.get_provider_info`.

Airflow 3.2 and later read the form from the provider's metadata; Airflow 3.1 asks the hook class for wtforms fields.
Both show the same form, because the fields here are made from that metadata. wtforms is imported inside the function:
Airflow 3.1 puts a stand-in in its place while it asks, and later versions do not need it.
"""

from __future__ import annotations

from typing import Any

from sentinelhub_provider.get_provider_info import CONNECTION_TYPE, get_provider_info


def connection_form_widgets() -> dict[str, Any]:
    """Return one wtforms field per extra field, by its key, for ``get_connection_form_widgets()`` of the hook.

    Airflow 3.1 knows text, integer and boolean fields only: a drop-down is a text field with an ``any_of`` validator,
    and a list of strings is a text field, whose value stays one string.

    :raises ImportError: neither wtforms nor Airflow's stand-in for it is there.
    """
    from wtforms import BooleanField, IntegerField, StringField
    from wtforms.validators import Optional, any_of

    field_classes = {"boolean": BooleanField, "integer": IntegerField, "string": StringField, "array": StringField}
    widgets: dict[str, Any] = {}
    for key, field in _connection_type()["conn-fields"].items():
        schema = field["schema"]
        validators = [Optional()]
        if "enum" in schema:
            validators.append(any_of(schema["enum"]))
        widgets[key] = field_classes[_value_type(schema)](
            label=field["label"],
            description=field["description"],
            default=schema.get("default"),
            validators=validators,
        )
    return widgets


def ui_field_behaviour() -> dict[str, Any]:
    """Return hidden fields, labels and placeholders in the spelling of ``get_ui_field_behaviour()`` of the hook."""
    behaviour = _connection_type()["ui-field-behaviour"]
    return {
        "hidden_fields": list(behaviour["hidden-fields"]),
        "relabeling": dict(behaviour["relabeling"]),
        "placeholders": dict(behaviour["placeholders"]),
    }


def _connection_type() -> dict[str, Any]:
    """Return this provider's entry in ``connection-types``."""
    for entry in get_provider_info()["connection-types"]:
        if entry["connection-type"] == CONNECTION_TYPE:
            return dict(entry)
    raise LookupError(f"the provider metadata declares no connection type {CONNECTION_TYPE!r}")


def _value_type(schema: dict[str, Any]) -> str:
    """Return the JSON type of a field's value; every field also allows ``null``, which means absent."""
    (value_type,) = (name for name in schema["type"] if name != "null")
    return str(value_type)
