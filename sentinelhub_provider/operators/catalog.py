"""An operator that finds scenes in the Catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import (
    SentinelHubBudgetError,
    SentinelHubRequestError,
    SentinelHubResponseError,
)
from sentinelhub_provider.operators.arguments import (
    geometry_of,
    log_and_check_cost,
    log_and_push_spent,
    times_of_run,
    utc_now,
)
from sentinelhub_provider.operators.base import SentinelHubOperator
from sentinelhub_provider.operators.xcom import MAX_XCOM_SIZE, check_xcom_size

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from sentinelhub_provider.api.catalog import SearchRequest
    from sentinelhub_provider.api.processing_units import Estimate

ENDPOINT = "/catalog/v1/search"


class SentinelHubCatalogSearchOperator(SentinelHubOperator):
    """
    Find scenes in the Catalog.

    Returned is a list with ``id``, ``datetime``, ``cloud_cover`` (per cent) and ``bbox`` (degrees) of each scene; with
    ``distinct``, a list of that property's values. The whole items go to ``output_path``. All pages are followed, and
    no more items asked for than wanted. The cost is pushed to XCom in PU: ``estimated_processing_units`` of one page
    before, ``processing_units`` of all pages after.

    .. seealso:: :doc:`/operators/catalog`

    :param collection: a collection's id, such as ``sentinel-2-l2a``. (templated)
    :param datetime: start and end: a pair, or a text as STAC writes it, where ``..`` is an open end; the run's data
        interval by default. (templated)
    :param bbox: west, south, east, north in degrees; or give ``intersects``, or neither for everywhere. (templated)
    :param intersects: GeoJSON as a dict, WKT, or a file of either: beside the DAG, an absolute path, or a URL that
        Airflow's object storage knows, ending with ``.geojson``, ``.json`` or ``.wkt``. (templated)
    :param max_cloud_cover: per cent. (templated)
    :param filter: CQL2, as text or as JSON in a dict. (templated)
    :param fields: ``include`` and ``exclude``, lists of members that items shall have or not. (templated)
    :param distinct: a property whose values are wanted instead of items, such as ``date``. (templated)
    :param ids: ids of items. (templated)
    :param limit: items in all; every one there is without it. (templated)
    :param sort: ``newest``, ``oldest`` or ``clearest`` first. All scenes are looked at before ``limit`` cuts.
    :param one_per: ``day`` (UTC) or ``tile``: only the first of each in that order.
    :param output_path: file for the whole items: STAC ItemCollection, or GeoParquet where it ends with ``.parquet``
        (needs the extra ``parquet``). A local path or a URL that Airflow's object storage knows. (templated)
    :param max_processing_units: PU that the search may cost; a page that would go over is not asked for.
    :param max_xcom_size: bytes of JSON that the task may return.
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`, such as
        ``timeout``, ``deferrable`` and ``sentinelhub_conn_id``, and of any Airflow operator.
    """

    template_fields: Sequence[str] = (
        "collection",
        "datetime",
        "bbox",
        "intersects",
        "max_cloud_cover",
        "filter",
        "fields",
        "distinct",
        "ids",
        "limit",
        "output_path",
        "sentinelhub_conn_id",
    )
    template_file_fields: Sequence[str] = ()
    template_fields_renderers = {  # noqa: RUF012 - Airflow's own form
        "bbox": "json",
        "intersects": "json",
        "filter": "json",
        "fields": "json",
    }
    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        collection: str,
        datetime: Any = None,
        bbox: Any = None,
        intersects: Any = None,
        max_cloud_cover: Any = None,
        filter: str | Mapping[str, Any] | None = None,  # noqa: A002 - the field's name in STAC
        fields: Mapping[str, Any] | None = None,
        distinct: str | None = None,
        ids: list[str] | None = None,
        limit: Any = None,
        sort: str | None = None,
        one_per: str | None = None,
        output_path: str | ObjectStoragePath | None = None,
        max_processing_units: float | None = None,
        max_xcom_size: int = MAX_XCOM_SIZE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection = collection
        self.datetime = datetime
        self.bbox = bbox
        self.intersects = intersects
        self.max_cloud_cover = max_cloud_cover
        self.filter = filter
        self.fields = fields
        self.distinct = distinct
        self.ids = ids
        self.limit = limit
        self.sort = sort
        self.one_per = one_per
        self.output_path = output_path
        self.max_processing_units = max_processing_units
        self.max_xcom_size = max_xcom_size

    def _result(self, context: Context) -> list[Any]:
        from sentinelhub_provider.api.catalog import summary

        search = self._search(context)
        self._check_output()
        estimate = search.estimate()
        log_and_check_cost(self, context, estimate, self.max_processing_units)
        items = self._ordered(self._fetch(context, search, estimate), search.limit)
        self.log.info("found %d %s", len(items), "values" if self.distinct else "items")
        found = [summary(item) for item in items]
        check_xcom_size(
            found,
            self.max_xcom_size,
            what=f"The list of {len(found):,}",
            advice="Set limit, or narrow the search.",
            field="limit",
        )
        if self.output_path is not None:
            self._store(context, items)
        return found

    def _search(self, context: Context) -> SearchRequest:
        from sentinelhub_provider.api.catalog import ONE_PER, SORTINGS, build_search

        for field, value, known in (("sort", self.sort, SORTINGS), ("one_per", self.one_per, ONE_PER)):
            if value is not None and value not in known:
                raise SentinelHubRequestError(f"{field} is {value!r}. Give one of {', '.join(known)}.", field=field)
            if value is not None and self.distinct:
                raise SentinelHubRequestError(
                    f"{field} orders items, but distinct={self.distinct!r} asks for values. Leave one of them out.",
                    field=field,
                )
        return build_search(
            collection=self.collection,
            datetime=times_of_run(context, self.datetime, "datetime"),
            bbox=self.bbox,
            intersects=geometry_of(self, self.intersects, "intersects"),
            max_cloud_cover=self.max_cloud_cover,
            filter=self.filter,
            fields=self.fields,
            distinct=self.distinct,
            ids=self.ids,
            limit=whole_number(self.limit),
            deployment=self.hook.settings.deployment.name,
            now=utc_now(),
        )

    def _check_output(self) -> None:
        """Refuse what cannot be written before it is paid for."""
        if not self._is_geoparquet():
            return
        if self.distinct:
            raise SentinelHubRequestError(
                f"output_path is GeoParquet, but distinct={self.distinct!r} asks for values, which have no geometry. "
                "Let output_path end with .json.",
                field="output_path",
            )
        from sentinelhub_provider.features.geoparquet import require_geoparquet

        require_geoparquet()

    def _is_geoparquet(self) -> bool:
        return str(self.output_path).lower().endswith((".parquet", ".geoparquet"))

    def _fetch(self, context: Context, search: SearchRequest, estimate: Estimate | None) -> list[Any]:
        """Ask for page after page: no more than wanted, or all where an order decides which are."""
        from sentinelhub_provider.api.catalog import MAX_PAGE
        from sentinelhub_provider.api.paging import items_of, next_page
        from sentinelhub_provider.transport.answers import UNITS_HEADER, spent_units

        wanted = None if self.sort or self.one_per else search.limit
        body = {**search.body, "limit": MAX_PAGE} if wanted is None else dict(search.body)
        items: list[Any] = []
        spent: float | None = None
        try:
            while True:
                response = self.hook.request("POST", ENDPOINT, json=body, **self.call_arguments)
                spent = added(spent, spent_units(response.headers.get(UNITS_HEADER)))
                page = decoded_page(response)
                items += items_of(page)
                change = next_page(page, method="POST")
                if change is None or (wanted is not None and len(items) >= wanted):
                    return items if wanted is None else items[:wanted]
                if body.get("next") == dict(change.json or {}).get("next"):
                    raise SentinelHubResponseError(
                        "The Catalog points from a page to itself. Report this to the service."
                    )
                self._check_next_page(spent, estimate)
                body = {**body, **(change.json or {})}
                if wanted is not None:
                    body["limit"] = min(MAX_PAGE, wanted - len(items))
        finally:
            log_and_push_spent(self, context, spent)

    def _check_next_page(self, spent: float | None, estimate: Estimate | None) -> None:
        following = estimate.processing_units if estimate is not None else 0.0
        if self.max_processing_units is not None and (spent or 0.0) + following > self.max_processing_units:
            raise SentinelHubBudgetError(
                f"The pages so far cost {spent or 0.0:.4g} PU, and one more would cost {following:.4g} PU, in all more "
                f"than max_processing_units={self.max_processing_units:g}. Narrow the search, set limit, or raise it."
            )

    def _ordered(self, items: list[Any], limit: int | None) -> list[Any]:
        from sentinelhub_provider.api.catalog import one_per, sort_items

        if self.sort is not None:
            items = list(sort_items(items, self.sort))
        if self.one_per is not None:
            items = list(one_per(items, self.one_per))
        return items[:limit]

    def _store(self, context: Context, items: list[Any]) -> None:
        """Write whole items, and push what was written to XCom under ``output``."""
        from sentinelhub_provider.hooks.output import store

        if self._is_geoparquet():
            from sentinelhub_provider.features.geoparquet import CONTENT_TYPE, to_geoparquet

            body, content_type = to_geoparquet(items), CONTENT_TYPE
        else:
            document = items if self.distinct else {"type": "FeatureCollection", "features": items}
            body = json.dumps(document, separators=(",", ":")).encode()
            content_type = "application/json" if self.distinct else "application/geo+json"
        written = store(body, self.output_path, content_type=content_type)
        self.log.info("stored %d bytes (%s) at %s", written.size, content_type, written.path)
        kept = asdict(written)
        context["ti"].xcom_push(key="output", value={name: kept[name] for name in ("path", "size", "sha256")})


def whole_number(value: Any) -> Any:
    """Return a number where a template rendered one as text; anything else as it is."""
    return int(value) if isinstance(value, str) and value.strip().isdigit() else value


def added(one: float | None, other: float | None) -> float | None:
    """Add two costs of which either may be unknown."""
    return other if one is None else one + (other or 0.0)


def decoded_page(response: Any) -> Mapping[str, Any]:
    """
    Decode a page of results.

    :raises SentinelHubResponseError: where it is none.
    """
    try:
        page = response.json()
    except ValueError as error:
        raise SentinelHubResponseError(f"{response.url} answered with something else than JSON: {error}.") from error
    if not isinstance(page, Mapping) or not isinstance(page.get("features"), list):
        raise SentinelHubResponseError(f"{response.url} answered with JSON that has no list of features.")
    return page
