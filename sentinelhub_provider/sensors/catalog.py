"""A sensor that waits for scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import PokeReturnValue

from sentinelhub_provider.api.values import read_whole_number
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubResponseError
from sentinelhub_provider.operators.arguments import MAX_XCOM_SIZE, check_xcom_size
from sentinelhub_provider.operators.base import without_vain_retries
from sentinelhub_provider.operators.request_arguments import SearchOperator
from sentinelhub_provider.sensors.deferrable import DeferrableSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.triggers.catalog import SentinelHubSceneCountTrigger


class SentinelHubSceneSensor(SearchOperator, DeferrableSensor):
    """Wait until the Catalog has so many scenes.

    It returns the list of all scenes that match then, oldest first. Each has ``id``, ``datetime``, ``cloud_cover`` (per
    cent) and ``bbox`` (degrees). Passing errors of the service are waited out. The task fails at once on an error that
    no repetition can help.

    .. seealso:: :doc:`/how-to/sensors`

    :param min_scenes: number of scenes to wait for. (templated)
    :param poke_interval: seconds (or a ``timedelta``) between two searches.
    :param deferrable: whether to wait in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``. Otherwise ``mode`` decides whether the slot is held (``poke``) or given back
        (``reschedule``).
    :param kwargs: ``collection``, ``datetime``, ``bbox``, ``intersects``, ``max_cloud_cover`` and ``filter``, see
        :class:`~sentinelhub_provider.operators.request_arguments.SearchOperator`. Also ``sentinelhub_conn_id`` and the
        arguments of every sensor, such as ``timeout``, ``mode``, ``soft_fail``.
    """

    def __init__(self, *, min_scenes: int | str = 1, poke_interval: timedelta | float = 300.0, **kwargs: Any) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.min_scenes = min_scenes

    template_fields: Sequence[str] = ("min_scenes", *SearchOperator.template_fields)

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Go on after the trigger has fired.

        :raises AirflowFailException: for errors that no repetition can help.
        :raises SentinelHubResponseError: for an event of something else.
        """
        status = event.get("status") if isinstance(event, Mapping) else None
        ends = event.get("waits_until") if isinstance(event, Mapping) else None
        if status not in ("found", "timeout", "error") or not isinstance(ends, int | float):
            raise SentinelHubResponseError(f"The trigger fired {event!r}, which is not an event of a scene sensor.")

        def check() -> PokeReturnValue:
            if status == "error":
                kind = AirflowFailException if event.get("final") else SentinelHubError
                raise kind(f"{event.get('error')}: {event.get('message')}")
            return PokeReturnValue(is_done=False) if status == "timeout" else self.poke(context)

        return self._go_on(context, ends, check)

    def poke(self, context: Context) -> PokeReturnValue:
        """Search once. It is done if there are enough scenes."""
        from sentinelhub_provider.hooks.scenes import search_scenes

        with without_vain_retries():
            wanted = read_whole_number(self.min_scenes, "min_scenes")
            body = self._body(context)
            try:
                scenes = search_scenes(self.hook, body)
            except SentinelHubError as error:
                if error.final:
                    raise
                self.log.warning("the search failed and is repeated at the next poke: %s", error)
                return PokeReturnValue(is_done=False)
            self.log.info("%d scenes are there, %d are wanted", len(scenes), wanted)
            if len(scenes) < wanted:
                return PokeReturnValue(is_done=False)
            check_xcom_size(
                scenes,
                MAX_XCOM_SIZE,
                what=f"The list of {len(scenes):,} scenes",
                advice="Narrow the area, the time or the cloud cover.",
                field="datetime",
            )
            scenes.sort(key=lambda scene: (str(scene["datetime"]), str(scene["id"])))
            return PokeReturnValue(is_done=True, xcom_value=scenes)

    def _trigger(self, context: Context, ends: float) -> SentinelHubSceneCountTrigger:
        from sentinelhub_provider.triggers.catalog import SentinelHubSceneCountTrigger

        return SentinelHubSceneCountTrigger(
            body=self._body(context),
            min_scenes=read_whole_number(self.min_scenes, "min_scenes"),
            waits_until=ends,
            poll_interval=self.poke_interval,
            exponential_backoff=self.exponential_backoff,
            max_wait=None if self.max_wait is None else self.max_wait.total_seconds(),
            sentinelhub_conn_id=self.sentinelhub_conn_id,
        )

    def _body(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.catalog import SHORT_FIELDS
        from sentinelhub_provider.api.scenes.search import check_has_scenes

        check_has_scenes(self.collection)
        return self.search(context, fields=SHORT_FIELDS).body
