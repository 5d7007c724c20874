"""
Templates in requests: which fields may name a file, and JavaScript that Jinja leaves alone.

Two of Airflow's habits would hurt here. It takes every templated text that ends with one of the operator's extensions
for a file to load, so that ``output_path="items.json"`` would be read instead of written. And it reads ``{%`` and
``{#`` in an evalscript as Jinja. So files are loaded for the fields that hold request content only, and in JavaScript
only ``{{ ... }}`` is Jinja's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

_NEVER = "\0"
"""Starts a delimiter that occurs in no script."""


def is_javascript(text: str) -> bool:
    """Tell whether a text is an evalscript, by its version line or the function that every evalscript has."""
    return text.lstrip().startswith("//VERSION") or "evaluatePixel" in text


def javascript_environment(environment: jinja2.Environment) -> jinja2.Environment:
    """Return ``environment`` with ``{{ ... }}`` as its only delimiters: ``{%`` and ``{#`` are JavaScript's."""
    return environment.overlay(
        block_start_string=f"{_NEVER}{{%",
        block_end_string=f"%}}{_NEVER}",
        comment_start_string=f"{_NEVER}{{#",
        comment_end_string=f"#}}{_NEVER}",
    )


class RequestTemplatingOperator(BaseOperator):
    """An operator whose templated fields hold requests and evalscripts."""

    template_ext: Sequence[str] = (".js", ".json")
    template_file_fields: Sequence[str] = ("json", "data", "evalscript")
    """The templated fields in which a text ending with one of ``template_ext`` names a file to load."""

    def resolve_template_files(self) -> None:
        """Load the files that fields name while the DAG is parsed, so that the UI shows what they hold."""
        for name in self.template_file_fields:
            content = getattr(self, name, None)
            if isinstance(content, str) and content.endswith(tuple(self.template_ext)):
                setattr(self, name, _source(self.get_template_env(), content))
        self.prepare_template()

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render as Airflow does, except that in JavaScript only ``{{ ... }}`` is a template."""
        if isinstance(content, str):
            jinja_env = jinja_env or self.get_template_env()
            if content.endswith(".js") and ".js" in self.template_ext:
                content = _source(jinja_env, content)
                jinja_env = javascript_environment(jinja_env)
            elif is_javascript(content):
                jinja_env = javascript_environment(jinja_env)
        return super().render_template(content, context, jinja_env, seen_oids)

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        """Render the fields that may name files with the extensions in force, the others without."""
        names = list(template_fields)
        with_files = [name for name in names if name in self.template_file_fields]
        others = [name for name in names if name not in self.template_file_fields]
        super()._do_render_template_fields(parent, with_files, context, jinja_env, seen_oids)
        self.template_ext = ()
        try:
            super()._do_render_template_fields(parent, others, context, jinja_env, seen_oids)
        finally:
            del self.template_ext


def _source(environment: jinja2.Environment, name: str) -> str:
    """Read a template file, unrendered; ``jinja2.TemplateNotFound`` where it is not on the DAG's search path."""
    loader = environment.loader
    if loader is None:
        from jinja2 import TemplateNotFound

        raise TemplateNotFound(name)
    return loader.get_source(environment, name)[0]
