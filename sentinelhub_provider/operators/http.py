"""An operator for any call to Sentinel Hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from sentinelhub_provider.api.endpoints import service_name
from sentinelhub_provider.api.paging import Pages, joined
from sentinelhub_provider.api.values import check_json, decode_answer, read_flag, read_json, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError
from sentinelhub_provider.hooks.output import check_writable, store
from sentinelhub_provider.operators.arguments import MAX_XCOM_SIZE, check_xcom_size
from sentinelhub_provider.operators.base import KEEPING_PAGES, SentinelHubOperator

if TYPE_CHECKING:
    import requests
    from airflow.sdk import Context

    from sentinelhub_provider.operators.argument_types import FilePath


class SentinelHubHttpOperator(SentinelHubOperator):
    """Makes an authorized call to Sentinel Hub.

    It returns a JSON answer to XCom, through ``response_filter`` if there is one. It streams any other body to
    ``output_path`` and returns a dict with ``path``, ``size`` (bytes), ``sha256``, ``content_type``,
    ``processing_units`` (PU) and ``url``. The cost of the call is also pushed to XCom as ``processing_units``.

    The call waits out a 429. It repeats after server errors and broken connections if that starts nothing twice. If no
    repetition can help (a wrong secret, a bad request, an empty account), the task fails without further retries.

    .. seealso:: :doc:`/how-to/operators/http`

    :param endpoint: a path in either spelling (``/process/v1`` or ``/api/v1/process``), or a URL on the connection's
        own host or one of its ``allowed_hosts``. (templated)
    :param method: HTTP method. (templated)
    :param json: body as a dict, as JSON text, or the name of a ``.json`` file beside the DAG. (templated)
    :param evalscript: JavaScript, or the name of a ``.js`` file beside the DAG. It becomes ``evalscript`` of the JSON
        body. Only ``{{ ... }}`` is a template in it. (templated)
    :param query_params: query parameters. Airflow uses the name ``params`` for a DAG's own parameters. (templated)
    :param data: body other than JSON: text, bytes or a form's fields. (templated)
    :param files: parts of a multipart body, as for ``requests``. (templated)
    :param headers: further header fields. (templated)
    :param accept: media type to accept, such as ``image/tiff``. (templated)
    :param output_path: file for the body, a local path or a URL that Airflow's object storage knows, such as
        ``s3://conn_id@bucket/{{ dag_run.run_after | ds }}.tiff``. It appears only when it is complete. (templated)
    :param response_check: function that gets each ``requests.Response``. The task fails if it returns nothing or
        anything false. It does not work with ``output_path``, whose bodies are not kept.
    :param response_filter: function that gets the decoded JSON. Its result is the task's result.
    :param paginate: whether to fetch all pages and join them into one answer. The task follows the Catalog's
        ``context.next`` and the ``viewtoken`` of the other APIs. (templated)
    :param max_pages: most pages. More pages are an error and do not shorten the result. (templated)
    :param max_xcom_size: bytes of JSON that the task may return. (templated)
    :param kwargs: arguments of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`.
    """

    template_file_fields: Sequence[str] = ("json", "data", "evalscript")
    template_fields_renderers = dict.fromkeys(("json", "query_params", "headers"), "json") | {"evalscript": "js"}

    def __init__(
        self,
        *,
        endpoint: str,
        method: str = "GET",
        json: Mapping[str, Any] | str | None = None,
        evalscript: str | None = None,
        query_params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | Sequence[Any] | str | bytes | None = None,
        files: Mapping[str, Any] | Sequence[Any] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: str | None = None,
        output_path: FilePath | None = None,
        response_check: Callable[[requests.Response], Any] | None = None,
        response_filter: Callable[[Any], Any] | None = None,
        paginate: bool | str = False,
        max_pages: int | str = 1000,
        max_xcom_size: int | str = MAX_XCOM_SIZE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint, self.method = endpoint, method
        self.json, self.evalscript, self.query_params = json, evalscript, query_params
        self.data, self.files, self.headers, self.accept = data, files, headers, accept
        self.output_path, self.max_xcom_size = output_path, max_xcom_size
        self.response_check, self.response_filter = response_check, response_filter
        self.paginate, self.max_pages = paginate, max_pages

    def _result(self, context: Context) -> Any:  # noqa: ARG002 - nothing of the run is needed
        self.check_texts("accept")
        self.check_texts("endpoint", "method", optional=False)
        body, is_paged = request_body(self.json, self.evalscript), read_flag(self.paginate, "paginate")
        self._check(body, is_paged=is_paged)
        if self.output_path is None:
            document = self._fetch(body, is_paged=is_paged)
            check_xcom_size(
                document,
                read_whole_number(self.max_xcom_size, "max_xcom_size", least=0),
                what="The result",
                advice="Keep what you need with response_filter, or give output_path.",
                field="response_filter",
            )
            return document
        if not is_paged:
            return self._download(body)
        check_writable(self.output_path)
        document = self._fetch(body, is_paged=True)
        check_json(document, "response_filter")
        return asdict(store(json.dumps(document).encode(), self.output_path, content_type="application/json"))

    def _check(self, body: Any, *, is_paged: bool) -> None:
        """Refuse a call that cannot work before it is sent and paid for."""
        for name, given in (("data", self.data), ("files", self.files), ("json", body)):
            if is_paged and given is not None and not (name == "json" and isinstance(given, Mapping)):
                raise SentinelHubRequestError(
                    f"{name} is not a JSON object, which paginate needs as the body. Give json.", field=name
                )
        for name in ("response_check", "response_filter"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise SentinelHubRequestError(f"{name} is {function!r}. Give a function.", field=name)
            if function is not None and self.output_path is not None and not is_paged:
                raise SentinelHubRequestError(
                    f"{name} needs the answer, which is streamed to output_path. Leave one of them out, or give "
                    "paginate=True for an answer in JSON.",
                    field=name,
                )
        is_file = service_name(self.endpoint) == "process"
        if self.accept:
            is_file = not any(kind in self.accept for kind in ("json", "text/", "*/*"))
        if self.output_path is None and is_file:
            raise SentinelHubRequestError(
                "This call answers with a file, which cannot go into XCom. "
                "Give output_path, such as 's3://my_conn@my-bucket/{{ dag_run.run_after | ds }}.tiff'.",
                field="output_path",
            )

    def _arguments(self) -> dict[str, Any]:
        """The options of the request that are the same for each page."""
        headers = self.structured("headers")
        if not isinstance(headers, Mapping | None):
            raise SentinelHubRequestError(f"headers is {headers!r}. Give a dict.", field="headers")
        content = {name: getattr(self, name) for name in ("data", "files", "accept")}
        return {**content, "headers": headers, **self.call_arguments}

    def _download(self, body: Any) -> dict[str, Any]:
        arguments = {"json": body, "params": query_of(self.structured("query_params")), **self._arguments()}
        download = self.hook.download(self.method, self.endpoint, self.output_path, **arguments)
        self.log.info("stored %s bytes (%s) at %s", f"{download.size:,}", download.content_type, download.path)
        return {**asdict(download), "processing_units": self.spent}

    def _fetch(self, body: Any, *, is_paged: bool) -> Any:
        """Get the answer, checked and filtered, with all its pages if ``paginate`` is on."""
        pages: list[Any] = []
        query = query_of(self.structured("query_params"))
        most = read_whole_number(self.max_pages, "max_pages")
        following = Pages(f"{self.method} {self.endpoint}", most=most, field="max_pages")
        change: dict[str, Any] | None = {}
        is_search = self.method.upper() == "POST"
        while change is not None:
            response = self.hook.request(
                self.method,
                self.endpoint,
                json={**(body or {}), **change} if change and is_search else body,
                params=query if is_search else query | change,
                **{**self._arguments(), **(KEEPING_PAGES if pages else {})},
            )
            if self.response_check and not self.response_check(response):
                raise SentinelHubResponseError(
                    f"response_check refused the answer of {self.method} {self.endpoint} ({response.status_code})."
                )
            pages.append(decoded(response))
            change = following.after(pages[-1]) if is_paged else None
            what = f"page {len(pages)} of {self.endpoint}" if is_paged else self.endpoint
            self.log.info("%s %s: status %d, %d bytes", self.method, what, response.status_code, len(response.content))
        document = joined(pages) if is_paged and isinstance(pages[0], Mapping) else pages[0]
        return self.response_filter(document) if self.response_filter else document


def request_body(body: Mapping[str, Any] | str | None, evalscript: str | None) -> Any:
    """Build the JSON body.

    ``body``: a dict, or JSON text from a template file. ``evalscript``: goes into the body under that name. Raises
    :class:`SentinelHubRequestError` for text that is not JSON, or an evalscript that is given twice.
    """
    body = read_json(body, "json")
    check_json(body, "json")
    if evalscript is None:
        return body
    if body is not None and not isinstance(body, Mapping):
        raise SentinelHubRequestError("evalscript needs a JSON object as body.", field="json")
    if body and "evalscript" in body:
        raise SentinelHubRequestError(
            "evalscript is given twice: in json and by itself. Give it once.", field="evalscript"
        )
    return {**(body or {}), "evalscript": evalscript}


def query_of(value: Any) -> dict[str, Any]:
    """Return query parameters by name, from a dict, from pairs, or from text such as ``count=10&sort=id``.

    :raises SentinelHubRequestError: for anything else.
    """
    if isinstance(value, Mapping):
        return dict(value)
    query: dict[str, Any] = {}
    try:
        pairs = parse_qsl(value.lstrip("?&"), keep_blank_values=True) if isinstance(value, str) else value or ()
        for name, one in pairs:
            query.setdefault(name, []).extend(one if isinstance(one, list | tuple) else (one,))
    except (TypeError, ValueError) as error:
        raise SentinelHubRequestError(f"query_params is {value!r}. Give a dict.", field="query_params") from error
    return query


def decoded(response: requests.Response) -> Any:
    """Decode an answer for XCom as JSON, text, or ``None`` if it is empty.

    :raises SentinelHubRequestError: for anything else, which belongs into a file.
    """
    content_type = response.headers.get("content-type", "")
    if not response.content:
        return None
    if "json" in content_type:
        return decode_answer(response.content, response.url)
    if content_type.startswith("text/"):
        return response.text
    raise SentinelHubRequestError(
        f"The answer is {content_type or 'of no named type'}, {len(response.content):,} bytes. XCom cannot hold it. "
        "Give output_path.",
        field="output_path",
    )
