"""
The connection form for Airflow 3.1, derived from :func:`sentinelhub_provider.get_provider_info.get_provider_info`.

Airflow 3.2 and later read the form from the provider's metadata; Airflow 3.1 asks the hook class for wtforms fields.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from sentinelhub_provider.get_provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR


def connection_form_widgets() -> dict[str, Any]:
    """
    Return one wtforms field for each extra field, by its key.

    Airflow 3.1 knows text, integer and boolean fields only: a drop-down is a text field with an ``any_of`` validator,
    and a list of strings is a text field, whose value stays one string. It puts a stand-in in wtforms' place.
    """
    from wtforms import BooleanField, IntegerField, StringField
    from wtforms.validators import Optional, any_of

    field_classes = {"boolean": BooleanField, "integer": IntegerField, "string": StringField, "array": StringField}
    widgets: dict[str, Any] = {}
    for key, field in CONN_FIELDS.items():
        schema = field["schema"]
        widgets[key] = field_classes[schema["type"][0]](  # the other type is null, which means absent
            label=field["label"],
            description=field["description"],
            default=schema.get("default"),
            validators=[Optional(), *([any_of(schema["enum"])] if "enum" in schema else [])],
        )
    return widgets


def ui_field_behaviour() -> dict[str, Any]:
    """Return hidden fields, labels and placeholders in the spelling of ``get_ui_field_behaviour()`` of the hook."""
    return {name.replace("-", "_"): copy(value) for name, value in UI_FIELD_BEHAVIOUR.items()}
