"""A sensor that waits for scenes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from sentinelhub_provider.api.values import read_whole_number
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubResponseError
from sentinelhub_provider.operators.arguments import MAX_XCOM_SIZE, check_xcom_size
from sentinelhub_provider.operators.base import without_vain_retries
from sentinelhub_provider.operators.request_arguments import SearchOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class SentinelHubSceneSensor(SearchOperator, BaseSensorOperator):
    """
    Wait until the Catalog has so many scenes.

    Returned is the list of all scenes that match then, oldest first, with ``id``, ``datetime``, ``cloud_cover``
    (per cent) and ``bbox`` (degrees) of each. Passing errors of the service are waited out; for those that no
    repetition can cure, the task fails at once.

    .. seealso:: :doc:`/sensors`

    :param min_scenes: so many. (templated)
    :param poke_interval: seconds (or a ``timedelta``) between two searches.
    :param deferrable: wait in the triggerer, without holding a worker slot; ``[operators] default_deferrable`` by
        default. Otherwise ``mode`` says whether the slot is held (``poke``) or given back (``reschedule``).
    :param kwargs: ``collection``, ``datetime``, ``bbox``, ``intersects``, ``max_cloud_cover`` and ``filter``, see
        :class:`~sentinelhub_provider.operators.request_arguments.SearchOperator`; ``sentinelhub_conn_id``; and further
        arguments of a sensor, such as ``timeout``, ``mode``, ``soft_fail``.
    """

    ui_color = "#d6e9f8"

    def __init__(self, *, min_scenes: int | str = 1, poke_interval: timedelta | float = 300.0, **kwargs: Any) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.min_scenes = min_scenes

    template_fields: Sequence[str] = ("min_scenes", *SearchOperator.template_fields)

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
        return read_whole_number(self.min_scenes, "min_scenes")

    def _body(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.scenes.search import SHORT_FIELDS, check_has_scenes

        check_has_scenes(self.collection)
        return self.search(context, fields=SHORT_FIELDS).body

    def _search(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        from sentinelhub_provider.hooks.scenes import search_scenes

        scenes = search_scenes(self.hook, body)
        return sorted(scenes, key=lambda scene: (str(scene["datetime"]), str(scene["id"])))
