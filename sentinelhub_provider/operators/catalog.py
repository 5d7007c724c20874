"""An operator that finds scenes in the Catalog."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import read_choice, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubBudgetError, SentinelHubRequestError
from sentinelhub_provider.hooks.output import check_writable, store
from sentinelhub_provider.operators.arguments import MAX_XCOM_SIZE, check_xcom_size, push, utc_now
from sentinelhub_provider.operators.base import KEEPING_PAGES, PaidOperator
from sentinelhub_provider.operators.request_arguments import SearchOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.catalog import SearchRequest
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.argument_types import FilePath

JSON = (".json", ".geojson")
GEOPARQUET = (".parquet", ".geoparquet")


class SentinelHubCatalogSearchOperator(SearchOperator, PaidOperator):
    """Finds scenes in the Catalog.

    It returns a list with ``id``, ``datetime``, ``cloud_cover`` (per cent) and ``bbox`` (degrees) of each scene. With
    ``distinct``, it is a list of that property's values. The complete items go to ``output_path``. The task follows all
    pages and requests no more items than needed. It pushes the cost to XCom in PU: ``estimated_processing_units`` of
    one page before, and ``processing_units`` of all pages after.

    .. seealso:: :doc:`/how-to/operators/catalog`

    :param fields: ``include`` and ``exclude``, lists of members of the items. (templated)
    :param distinct: a property whose values are returned instead of items, such as ``date``. (templated)
    :param ids: IDs of items. (templated)
    :param limit: most items in all. Default: all items. (templated)
    :param sort: ``newest``, ``oldest`` or ``clearest`` first. The task finds all scenes before ``limit`` cuts.
        (templated)
    :param one_per: ``day`` (UTC) or ``tile``, to return only the first of each in that order. (templated)
    :param output_path: file for the complete items, as STAC ItemCollection (``.json``, ``.geojson`` or no ending), or
        as GeoParquet (``.parquet`` or ``.geoparquet``, needs the extra ``parquet``). It is a local path or a URL that
        Airflow's object storage knows. (templated)
    :param max_xcom_size: bytes of JSON that the task may return. (templated)
    :param kwargs: ``collection``, ``datetime``, ``bbox`` and the other arguments of
        :class:`~sentinelhub_provider.operators.request_arguments.SearchOperator` and of
        :class:`~sentinelhub_provider.operators.base.PaidOperator`. Over ``max_processing_units``, no further page is
        requested.
    """

    def __init__(
        self,
        *,
        fields: Mapping[str, Any] | str | None = None,
        distinct: str | None = None,
        ids: Sequence[str] | str | None = None,
        limit: int | str | None = None,
        sort: str | None = None,
        one_per: str | None = None,
        output_path: FilePath | None = None,
        max_xcom_size: int | str = MAX_XCOM_SIZE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fields, self.distinct, self.ids = fields, distinct, ids
        self.limit, self.sort, self.one_per = limit, sort, one_per
        self.output_path, self.max_xcom_size = output_path, max_xcom_size

    template_fields_renderers = dict.fromkeys(("fields", "ids"), "json")

    def _result(self, context: Context) -> list[Any]:
        from sentinelhub_provider.api.catalog import one_per, sort_items, summary

        search = self._search(context)
        self.request_sent = search.body
        estimate = search.estimate()
        self.check_estimate(context, estimate)
        self._check_output()
        items = self._fetch(search, estimate)
        if self.sort is not None:
            items = sort_items(items, self.sort)
        if self.one_per is not None:
            items = one_per(items, self.one_per)
        items = items[: search.limit]
        self.log.info("found %d %s", len(items), "values" if self.distinct else "items")
        found = [summary(item) for item in items]
        check_xcom_size(
            found,
            read_whole_number(self.max_xcom_size, "max_xcom_size", least=0),
            what=f"The list of {len(found):,}",
            advice="Set limit, or narrow the search.",
            field="limit",
        )
        if self.output_path is not None:
            self._store(context, items)
        return found

    def _search(self, context: Context) -> SearchRequest:
        from sentinelhub_provider.api.catalog import ONE_PER, SORTINGS, fields_for

        for field, value, known in (("sort", self.sort, SORTINGS), ("one_per", self.one_per, ONE_PER)):
            if value is None:
                continue
            setattr(self, field, read_choice(value, known, field))
            if self.distinct:
                raise SentinelHubRequestError(
                    f"{field} orders items, but distinct={self.distinct!r} returns values. Leave one of them out.",
                    field=field,
                )
        needed: Any = {"sort": self.sort, "one_per": self.one_per, "whole": self.output_path is not None}
        return self.search(
            context,
            fields=None if self.distinct and self.fields is None else fields_for(self.structured("fields"), **needed),
            distinct=self.distinct,
            ids=self.structured("ids"),
            limit=None if self.limit is None else read_whole_number(self.limit, "limit"),
            now=utc_now(),
        )

    def _check_output(self) -> None:
        """Refuse an output that cannot be written before it is paid for."""
        ending = PurePath(str(self.output_path or "")).suffix.lower()
        if ending[1:2].isalpha() and ending not in (*JSON, *GEOPARQUET):
            raise SentinelHubRequestError(
                f"output_path ends with {ending}, and items are written as JSON or GeoParquet. Let it end with .json "
                "or .parquet.",
                field="output_path",
            )
        if self._is_geoparquet:
            if self.distinct:
                raise SentinelHubRequestError(
                    f"output_path is GeoParquet, but distinct={self.distinct!r} returns values without geometry. "
                    "Let output_path end with .json.",
                    field="output_path",
                )
            from sentinelhub_provider.features.writing import require_geoparquet

            require_geoparquet()
        if self.output_path is not None:
            check_writable(self.output_path)

    @property
    def _is_geoparquet(self) -> bool:
        return str(self.output_path).lower().endswith(GEOPARQUET)

    def _fetch(self, search: SearchRequest, estimate: Estimate | None) -> list[Any]:
        """Request page after page, up to the limit, or all pages if an order decides which items count."""
        from sentinelhub_provider.api.flow import drive
        from sentinelhub_provider.api.scenes.search import ENDPOINT, search_flow

        wanted = None if self.sort or self.one_per else search.limit
        page_cost, budget = estimate.processing_units if estimate is not None else 0.0, self.budget
        keeping: dict[str, Any] = {}

        def page(body: dict[str, Any]) -> bytes:
            spent = self.spent or 0.0
            if keeping and budget is not None and spent + page_cost > budget:
                raise SentinelHubBudgetError(
                    f"The pages so far cost {spent:.4g} PU, and one more would cost {page_cost:.4g} PU, in all more "
                    f"than max_processing_units={budget:g}. Narrow the search, set limit, or raise it."
                )
            answer = self.hook.request("POST", ENDPOINT, json=body, **{**self.call_arguments, **keeping})
            keeping.update(KEEPING_PAGES)
            return answer.content

        enough = math.inf if wanted is None else wanted
        return drive(search_flow(search.body, enough, pick=lambda item: item, most=sys.maxsize), page)[:wanted]

    def _store(self, context: Context, items: list[Any]) -> None:
        """Write complete items, and push facts about the file to XCom under ``output``."""
        if self._is_geoparquet:
            from sentinelhub_provider.features.writing import CONTENT_TYPE, to_geoparquet

            body, content_type = to_geoparquet(items), CONTENT_TYPE
        else:
            document = items if self.distinct else {"type": "FeatureCollection", "features": items}
            body = json.dumps(document, separators=(",", ":")).encode()
            content_type = "application/json" if self.distinct else "application/geo+json"
        written = store(body, self.output_path, content_type=content_type)
        self.log.info("stored %d bytes (%s) at %s", written.size, content_type, written.path)
        kept = asdict(written)
        push(self, context, "output", {name: kept[name] for name in ("path", "size", "sha256")})
