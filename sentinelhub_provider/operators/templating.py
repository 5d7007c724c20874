"""Templates in requests: fields that may name a file, and JavaScript that Jinja leaves alone.

Two habits of Airflow would do harm here. It loads every text that ends with one of the operator's extensions as a file,
at any depth, so it would read ``output_path="items.json"`` instead of writing it. It also reads ``{%`` and ``{#`` in an
evalscript as Jinja. So a file is loaded only for a whole field with request content, or for ``evalscript`` within one.
In an evalscript, only ``{{ ... }}`` is Jinja's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Any

import jinja2
from airflow.sdk import BaseOperator, Context

from sentinelhub_provider.api.values import encoding_fault, without_bom
from sentinelhub_provider.exceptions import SentinelHubRequestError

EVALSCRIPT = "evalscript"
"""The field, and the member of a request, with JavaScript."""

NOT_TEMPLATED = frozenset(
    ("deferrable", "multiple_outputs", "poke_interval", "python_callable", "response_check", "response_filter")
)
"""Arguments that are not data, such as functions and the way a task waits and returns."""

_NEVER = "\0"
"""Starts a delimiter that occurs in no script."""


def own_arguments(init: Callable[..., None], but: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the keyword arguments that an ``__init__`` declares, except those in ``but``."""
    left_out = frozenset(but)
    parameters = inspect.signature(init).parameters.values()
    return tuple(one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.name not in left_out)


def whole_signature(cls: type) -> inspect.Signature:
    """Return a class's signature with the keyword arguments of its bases, except those of Airflow itself."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base) and not base.__module__.startswith("airflow.") and base is not object:
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            found = {one.name: one for one in parameters if one.kind is one.KEYWORD_ONLY} | found
    required = [one for one in found.values() if one.default is one.empty]
    optional = [one for one in found.values() if one.default is not one.empty]
    rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, annotation="Any")
    return inspect.Signature([*required, *optional, rest])


def javascript_environment(environment: jinja2.Environment) -> jinja2.Environment:
    """Return ``environment`` with ``{{ ... }}`` as its only delimiters, because ``{%`` and ``{#`` are JavaScript's."""
    return environment.overlay(
        block_start_string=f"{_NEVER}{{%",
        block_end_string=f"%}}{_NEVER}",
        comment_start_string=f"{_NEVER}{{#",
        comment_end_string=f"#}}{_NEVER}",
    )


def _as_text(content: Any) -> Any:
    """Return a path as text. Airflow renders an ``ObjectStoragePath``, which may be a path of either kind."""
    is_path = isinstance(content, PurePath) and not hasattr(content, "storage_options")
    return str(content) if is_path else content


class RequestTemplatingOperator(BaseOperator):
    """An operator whose templated fields hold requests and evalscripts."""

    template_ext: Sequence[str] = (".js", ".json")
    template_file_fields: Sequence[str] = ()
    """The templated fields in which a text ending with one of ``template_ext`` names a file to load."""
    script_file: str | None = None
    """The file of the evalscript."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make ``inspect.signature()`` and its users show the arguments that bases declare.

        All arguments that are data are templates. A class only names renderers of its own arguments.
        """
        super().__init_subclass__(**kwargs)
        cls.__signature__ = whole_signature(cls)  # type: ignore[attr-defined]
        if not cls.__module__.startswith("sentinelhub_provider."):
            return
        names, renderers = dict[str, None](), dict[str, str]()
        for base in cls.__mro__:
            is_airflow = base.__module__.startswith("airflow.")
            init = None if is_airflow else vars(base).get("__init__")
            own = vars(base).get("template_fields", ()) if is_airflow else own_arguments(init) if init else ()
            names |= dict.fromkeys(name for name in own if name not in NOT_TEMPLATED)
            renderers = {**vars(base).get("template_fields_renderers", {}), **renderers}
        cls.template_fields, cls.template_fields_renderers = tuple(names), renderers

    def resolve_template_files(self) -> None:
        """Load the files that fields name while the DAG is parsed, so that the UI shows their content."""
        self._load_files(self, self.template_file_fields, self.get_template_env)
        self.prepare_template()

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render as Airflow does, except evalscripts, names of files, and paths, which become text."""
        jinja_env = jinja_env or self.get_template_env()
        content = _as_text(content)
        if isinstance(content, str):
            return self._render(jinja_env.from_string(content), context)
        if isinstance(content, dict) and isinstance(script := _as_text(content.get(EVALSCRIPT)), str):
            script = self._file_content(script, jinja_env)
            rendered = self._render(javascript_environment(jinja_env).from_string(script), context)
            others = {name: value for name, value in content.items() if name != EVALSCRIPT}
            others = self.render_template(others, context, jinja_env, seen_oids)
            return {name: rendered if name == EVALSCRIPT else others[name] for name in content}
        return super().render_template(content, context, jinja_env, seen_oids)

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        """Load the files that fields name, and render evalscripts as JavaScript."""
        names = list(template_fields)
        self._load_files(parent, [name for name in names if name in self.template_file_fields], lambda: jinja_env)
        plain = [name for name in names if name != EVALSCRIPT]
        super()._do_render_template_fields(parent, plain, context, jinja_env, seen_oids)
        if EVALSCRIPT in names:
            scripts = javascript_environment(jinja_env)
            super()._do_render_template_fields(parent, [EVALSCRIPT], context, scripts, seen_oids)

    def _load_files(self, parent: Any, names: Iterable[str], environment: Callable[[], jinja2.Environment]) -> None:
        for name in names:
            content = _as_text(getattr(parent, name, None))
            if self._names_file(content):
                setattr(parent, name, self._file_content(content, environment()))
                parent.script_file = content if name == EVALSCRIPT else None

    def _names_file(self, content: Any) -> bool:
        return isinstance(content, str) and "\n" not in content and content.endswith(tuple(self.template_ext))

    def _file_content(self, content: Any, environment: jinja2.Environment) -> Any:
        """Return the unrendered content of the file that a text names, or the text itself if it names none.

        :raises jinja2.TemplateNotFound: if the file is not on the DAG's search path.
        :raises SentinelHubRequestError: if the file is not in UTF-8.
        """
        if not self._names_file(content):
            return content
        loader = environment.loader
        if loader is None:
            raise jinja2.TemplateNotFound(content)
        try:
            return without_bom(loader.get_source(environment, content)[0])
        except UnicodeDecodeError as error:
            what = encoding_fault(error.object) or "not text in UTF-8"
            raise SentinelHubRequestError(
                f"The file {content} is {what}. Save it as UTF-8.", field=EVALSCRIPT
            ) from error
