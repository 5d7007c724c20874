"""A sensor that waits for scenes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, conf
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from sentinelhub_provider.exceptions import (
    SentinelHubError,
    SentinelHubRequestError,
    SentinelHubResponseError,
)
from sentinelhub_provider.operators.arguments import geometry_of, times_of_run
from sentinelhub_provider.operators.failing import without_vain_retries
from sentinelhub_provider.operators.xcom import MAX_XCOM_SIZE, check_xcom_size

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook


class SentinelHubSceneSensor(BaseSensorOperator):
    """
    Wait until the Catalog has so many scenes.

    Returned is the list of all scenes that match then, oldest first, with ``id``, ``datetime``, ``cloud_cover``
    (per cent) and ``bbox`` (degrees) of each. Passing errors of the service are waited out; for those that no
    repetition can cure, the task fails at once.

    .. seealso:: :doc:`/sensors`

    :param collection: a collection's id, such as ``sentinel-2-l2a``. (templated)
    :param min_scenes: so many. (templated)
    :param datetime: start and end of sensing: a pair, or a text as STAC writes it, where ``..`` is an open end; the
        run's data interval by default. (templated)
    :param bbox: west, south, east, north in degrees; or give ``intersects``, or neither for everywhere. (templated)
    :param intersects: GeoJSON as a dict, WKT, or a file of either: beside the DAG, an absolute path, or a URL that
        Airflow's object storage knows, ending with ``.geojson``, ``.json`` or ``.wkt``. (templated)
    :param max_cloud_cover: per cent. (templated)
    :param filter: CQL2, as text or as JSON in a dict. (templated)
    :param poke_interval: seconds (or a ``timedelta``) between two searches.
    :param deferrable: wait in the triggerer, without holding a worker slot; ``[operators] default_deferrable`` by
        default. Otherwise ``mode`` says whether the slot is held (``poke``) or given back (``reschedule``).
    :param sentinelhub_conn_id: the connection. (templated)
    :param kwargs: further arguments of a sensor, such as ``timeout``, ``mode``, ``soft_fail``.
    """

    template_fields: Sequence[str] = (
        "collection",
        "min_scenes",
        "datetime",
        "bbox",
        "intersects",
        "max_cloud_cover",
        "filter",
        "sentinelhub_conn_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - Airflow's own form
        "bbox": "json",
        "intersects": "json",
        "filter": "json",
    }
    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        collection: str,
        min_scenes: Any = 1,
        datetime: Any = None,
        bbox: Any = None,
        intersects: Any = None,
        max_cloud_cover: Any = None,
        filter: str | Mapping[str, Any] | None = None,  # noqa: A002 - the field's name in STAC
        poke_interval: timedelta | float = 300.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        sentinelhub_conn_id: str = "sentinelhub_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.collection = collection
        self.min_scenes = min_scenes
        self.datetime = datetime
        self.bbox = bbox
        self.intersects = intersects
        self.max_cloud_cover = max_cloud_cover
        self.filter = filter
        self.deferrable = deferrable
        self.sentinelhub_conn_id = sentinelhub_conn_id

    @cached_property
    def hook(self) -> SentinelHubHook:
        """The hook that makes the calls; kept, so that they share its connections to the service."""
        from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

        return SentinelHubHook(self.sentinelhub_conn_id)

    def execute(self, context: Context) -> Any:
        """Wait, and return the scenes."""
        if not self.deferrable:
            return super().execute(context)
        try:
            return self._poke_or_defer(context, waits_until=time.time() + self.timeout)
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise

    def resume(self, context: Context, event: Any = None) -> Any:
        """
        Go on after the trigger has fired.

        :raises AirflowFailException: for errors that no repetition can cure.
        :raises SentinelHubResponseError: for an event that is not the trigger's.
        """
        status = event.get("status") if isinstance(event, Mapping) else None
        if status == "error":
            raise AirflowFailException(f"{event.get('error')}: {event.get('message')}")
        if status != "found" or not isinstance(event.get("waits_until"), int | float):
            raise SentinelHubResponseError(f"The trigger fired {event!r}, which is no event of a scene sensor.")
        return self._poke_or_defer(context, waits_until=event["waits_until"])

    def poke(self, context: Context) -> PokeReturnValue:
        """Search once; done where there are enough scenes."""
        with without_vain_retries():
            wanted = self._wanted()
            body = self._body(context)
            try:
                scenes = self._search(body)
            except SentinelHubError as error:
                if error.final:
                    raise
                self.log.warning("the search failed and is repeated at the next poke: %s", error)
                return PokeReturnValue(is_done=False)
            self.log.info("%d of %d scenes are there", len(scenes), wanted)
            if len(scenes) < wanted:
                return PokeReturnValue(is_done=False)
            check_xcom_size(
                scenes,
                MAX_XCOM_SIZE,
                what=f"The list of {len(scenes):,} scenes",
                advice="Narrow the area, the time or the cloud cover.",
                field="datetime",
            )
            return PokeReturnValue(is_done=True, xcom_value=scenes)

    def _poke_or_defer(self, context: Context, *, waits_until: float) -> Any:
        found = self.poke(context)
        if found:
            return found.xcom_value
        from sentinelhub_provider.triggers.catalog import SentinelHubSceneCountTrigger

        left = max(0.0, waits_until - time.time())
        self.log.info("waiting in the triggerer, for %.0f s at most", left)
        self.defer(
            trigger=SentinelHubSceneCountTrigger(
                body=self._body(context),
                min_scenes=self._wanted(),
                waits_until=waits_until,
                poll_interval=self.poke_interval,
                sentinelhub_conn_id=self.sentinelhub_conn_id,
            ),
            method_name="resume",
            timeout=timedelta(seconds=left),
        )
        raise AssertionError("defer() returns never")  # pragma: no cover

    def _wanted(self) -> int:
        value = self.min_scenes
        number = int(value) if isinstance(value, str) and value.strip().isdigit() else value
        if type(number) is not int or number < 1:
            raise SentinelHubRequestError(
                f"min_scenes is {value!r}. Give a whole number, 1 or more.", field="min_scenes"
            )
        return number

    def _body(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.catalog import build_search
        from sentinelhub_provider.api.scenes.search import SHORT_FIELDS, check_has_scenes

        check_has_scenes(self.collection)
        return build_search(
            collection=self.collection,
            datetime=times_of_run(context, self.datetime, "datetime"),
            bbox=self.bbox,
            intersects=geometry_of(self, self.intersects, "intersects"),
            max_cloud_cover=self.max_cloud_cover,
            filter=self.filter,
            fields=SHORT_FIELDS,
            deployment=self.hook.settings.deployment.name,
        ).body

    def _search(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        from sentinelhub_provider.hooks.scenes import search_scenes

        scenes = search_scenes(self.hook, body)
        return sorted(scenes, key=lambda scene: (str(scene["datetime"]), str(scene["id"])))
