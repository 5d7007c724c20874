"""Operators for your own files in Sentinel Hub (BYOC). They create collections, ingest tiles, and delete both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import read_choice, read_seconds
from sentinelhub_provider.exceptions import SentinelHubNotFoundError, SentinelHubRequestError
from sentinelhub_provider.operators.base import check_attempt, without_vain_retries
from sentinelhub_provider.operators.byoc_base import ByocOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.byoc.ingestion import Outcome
    from sentinelhub_provider.api.byoc.tiles import Plan, Tile
    from sentinelhub_provider.operators.argument_types import Tiles
    from sentinelhub_provider.operators.jobs.attempt import JobStore

IF_EXISTS = ("use", "fail")
IF_MISSING = ("skip", "fail")

TRIGGER_GRACE = timedelta(minutes=30)
"""Seconds after its own end in which a trigger must have fired. After that, Airflow fails the task by itself."""


class SentinelHubByocCreateCollectionOperator(ByocOperator):
    """Creates a collection for your own files, or uses the one with that name.

    The task first looks for the name, so that a retry after a lost answer makes no second collection.

    It returns a dict with ``collection_id``, ``collection`` (``byoc-`` and the ID, for other operators), ``name``,
    ``s3_bucket``, ``created`` (whether this task created it), ``processing_units`` and ``estimated_processing_units``
    (PU). Each is also pushed to XCom under its own name, so that you can pass ``task.output["collection_id"]`` to the
    next task.

    .. seealso:: :doc:`/how-to/operators/byoc`

    :param name: the collection's name. (templated)
    :param s3_bucket: the bucket with the files. (templated)
    :param no_data: value of pixels without data, for all bands. (templated)
    :param bands: bands by name, each as one word (``uint8``, ``uint16``, ``int16``, ``float32``, ...) or with the API's
        ``bitDepth``, ``sampleFormat``, ``bandIndex``, ``source`` and ``noData``. Default: the bands of the first tile.
        (templated)
    :param if_exists: ``use`` the collection with that name, or ``fail``. To be used, it must have this bucket, and
        these bands and this value if they are given.
    :param multiple_outputs: whether each member of the result is also pushed to XCom by itself.
    :param kwargs: arguments of :class:`~sentinelhub_provider.operators.base.PaidOperator`.
    """

    strict = ("if_exists", "fail")
    template_fields_renderers = dict.fromkeys(("bands",), "json")

    def __init__(
        self,
        *,
        name: str,
        s3_bucket: str,
        no_data: float | str | None = None,
        bands: Mapping[str, Any] | None = None,
        if_exists: str = "use",
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        self.name, self.s3_bucket = name, s3_bucket
        self.no_data, self.bands, self.if_exists = no_data, bands, if_exists

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.requests import build_collection, check_same, data_type

        self.if_exists = read_choice(self.if_exists, IF_EXISTS, "if_exists")
        request = build_collection(
            name=self.name, s3_bucket=self.s3_bucket, no_data=self.no_data, bands=self.structured("bands")
        )
        for warning in request.warnings:
            self.log.warning("%s", warning)
        there = self._calls.find_collection(request.name)
        estimated = self._check_cost(context, 0 if there else 1)
        if there is None:
            self._begin(context, request.name)
            found, created = self._calls.create_collection(request)
        else:
            found, created = there, self._has_begun(context, request.name)
        if not created and self.if_exists == "fail":
            raise SentinelHubRequestError(
                f"name: the collection {found.name!r} already exists ({found.id}). Take another name, or use it with "
                "if_exists='use'.",
                field="name",
            )
        if there is not None or not created:
            check_same(found, request)
        collection = data_type(found.id)
        self.log.info("collection %r: %s (%s)", found.name, collection, "created" if created else "already there")
        names = {"collection_id": found.id, "collection": collection, "name": found.name}
        return self._with_costs(estimated, **names, s3_bucket=found.s3_bucket, created=created)


class SentinelHubByocIngestOperator(ByocOperator):
    """Ingests files into a collection and waits until all of them are ingested.

    An existing tile is used. If the service fails to ingest a tile, the task fails. Its error has the paths and causes
    of the first tiles.

    It returns a dict with the numbers ``tiles``, ``created``, ``reingested``, ``existing`` (used as they are),
    ``ingested`` and ``warned`` (the service's warnings are logged). It also has ``collection_id``, ``collection``,
    ``processing_units`` and ``estimated_processing_units`` (PU). Both costs are also pushed to XCom.

    .. seealso:: :doc:`/how-to/operators/byoc`

    :param collection_id: with or without ``byoc-`` in front. (templated)
    :param tiles: a list, or its JSON. Its items are paths in the collection's bucket, such as
        ``2024-06-01/(BAND).tif``, or dicts with ``path``, ``coverGeometry`` (GeoJSON or WKT of the area with data) and
        ``sensingTime``. (templated)
    :param reingest: existing tiles to ingest again: ``failed``, ``all``, or ``none``.
    :param poll_interval: longest pause between two polls of the tiles, in seconds.
    :param kwargs: arguments of :class:`~sentinelhub_provider.operators.base.PaidOperator`. Its ``max_wait`` also bounds
        the ingestion.
    """

    # Failed tiles need no record, as their state changes. Others would be paid for twice.
    strict = ("reingest", "all")
    template_fields_renderers = dict.fromkeys(("tiles",), "json")

    def __init__(
        self, *, collection_id: str, tiles: Tiles, reingest: str = "failed", poll_interval: float = 60.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.collection_id, self.tiles = collection_id, tiles
        self.reingest, self.poll_interval = reingest, poll_interval
        self._waits_until = 0.0
        self._created: list[str] = []
        self._reingested: list[str] = []

    def resume(
        self,
        context: Context,
        event: Any = None,
        *,
        waits_until: float | None = None,
        created: Sequence[str] = (),
        reingested: Sequence[str] = (),
        **state: Any,
    ) -> Any:
        """Ingest, for the first time or after a wait for the rate limit in the triggerer.

        ``created``: IDs of the tiles that the task created before the wait. ``reingested``: IDs of the tiles that it
        ingested again. ``state``: see :meth:`SentinelHubOperator.resume`.
        """
        self._waits_until = self._clock() + self.max_wait_seconds if waits_until is None else waits_until
        self._created, self._reingested = list(created), list(reingested)
        return super().resume(context, event, waits_until=self._waits_until, **state)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after the trigger fired.

        :raises AirflowFailException: if a tile failed, or time was up.
        :raises SentinelHubResponseError: for an event of something else.
        """
        from sentinelhub_provider.api.byoc.ingestion import Outcome, read_event
        from sentinelhub_provider.api.byoc.requests import read_collection_id

        with self._forgetting(context), without_vain_retries():
            outcome, submitted = read_event(event, read_collection_id(self.collection_id))
            self.ends = submitted.get("ends")
            return self._judged(Outcome.from_dict(submitted["outcome"]) + outcome, submitted["result"])

    def _kept(self) -> dict[str, Any]:
        return {**super()._kept(), "created": self._created, "reingested": self._reingested}

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.ingestion import Outcome, find_tiles, poll_tiles
        from sentinelhub_provider.api.byoc.requests import data_type, read_collection_id
        from sentinelhub_provider.api.byoc.tiles import REINGEST, build_tiles, by_path, plan

        self.reingest = read_choice(self.reingest, tuple(REINGEST), "reingest")
        self.poll_interval = read_seconds(self.poll_interval, "poll_interval")
        collection_id = read_collection_id(self.collection_id)
        wanted = build_tiles(self.structured("tiles"))
        record = self._record(context)
        there = by_path(self._calls.drive(find_tiles(collection_id, [tile.path for tile in wanted])))
        earlier = (record.read() or {}).get("reingested", []) if record is not None else []
        begun = {*self._created, *self._reingested, *earlier}
        planned = plan(wanted, there, reingest=self.reingest, begun=begun)
        for warning in (*(warning for tile in wanted for warning in tile.warnings), *planned.warnings):
            self.log.warning("%s", warning)
        estimated = self._check_cost(context, planned.requests)
        ended, under_way = self._submit(collection_id, planned, record, earlier)
        result = self._with_costs(
            estimated,
            collection_id=collection_id,
            collection=data_type(collection_id),
            tiles=len(wanted),
            created=len(self._created),
            reingested=len(self._reingested),
            existing=len(wanted) - len(self._created) - len(self._reingested),
        )
        outcome = Outcome.of(ended)
        if under_way:
            until = self._waits_until if self.ends is None else min(self._waits_until, self.ends)
            if self.deferrable:
                submitted = {"result": result, "outcome": asdict(outcome), "ends": self.ends}
                self._wait_in_triggerer(collection_id, under_way, submitted, until)
            flow = poll_tiles(collection_id, under_way, until, self.poll_interval, clock=self._clock)
            outcome += self._calls.drive(flow)
        return self._judged(outcome, result)

    def _submit(
        self, collection_id: str, planned: Plan, record: JobStore | None, earlier: Sequence[str]
    ) -> tuple[list[Tile], list[str]]:
        """Request the missing work, tile by tile. With more at a time, the rate limit could waste requests.

        :param earlier: IDs of tiles that are in the record.
        :returns: finished tiles, and IDs of the tiles under way.
        """
        calls, tiles, under_way = self._calls, list(planned.keep), []
        for tile in planned.reingest:
            calls.reingest(collection_id, tile)
            self._reingested.append(tile.id)
            under_way.append(tile.id)
            if record is not None:
                try:
                    record.write({"reingested": [*earlier, *self._reingested]})
                except Exception as error:  # the store may raise anything, but the tile is paid for
                    self.log.warning(
                        "a retry may pay for tile %r again, as no record can be kept: %s", tile.path, error
                    )
        for request in planned.create:
            tile, is_new = calls.create_tile(collection_id, request)
            if is_new:
                self._created.append(tile.id)
            tiles.append(tile)
        counts = (len(self._created), len(self._reingested), len(planned.keep))
        self.log.info("%d tiles created, %d ingested again, %d used as they are", *counts)
        under_way += [tile.id for tile in tiles if not tile.state.is_final]
        return [tile for tile in tiles if tile.state.is_final], under_way

    def _wait_in_triggerer(
        self, collection_id: str, tile_ids: list[str], submitted: dict[str, Any], until: float
    ) -> None:
        from sentinelhub_provider.triggers.byoc import SentinelHubByocTilesTrigger

        limits = self.call_arguments
        trigger = SentinelHubByocTilesTrigger(
            collection_id=collection_id,
            tile_ids=tile_ids,
            submitted=submitted,
            waits_until=until,
            poll_interval=self.poll_interval,
            timeout=limits["timeout"],
            deadline=limits["deadline"],
            sentinelhub_conn_id=self.sentinelhub_conn_id,
        )
        self.log.info("waiting for %d tiles in the triggerer", len(tile_ids))
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, until - self._clock())) + TRIGGER_GRACE,
        )

    def _judged(self, outcome: Outcome, result: dict[str, Any]) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.ingestion import check_outcome

        for one in outcome.warnings:
            self.log.warning("tile %r: %s", one["path"], one["warning"])
        if outcome.warned > len(outcome.warnings):
            self.log.warning("... and warnings about %d more tiles", outcome.warned - len(outcome.warnings))
        if outcome.pending:
            check_attempt(self, self.ends, self._clock())
        check_outcome(outcome, result["collection_id"], waited=self.max_wait_seconds)
        self.log.info("%d tiles are ingested", outcome.ingested)
        return {**result, "ingested": outcome.ingested, "warned": outcome.warned}


class SentinelHubByocDeleteCollectionOperator(ByocOperator):
    """Deletes a collection and its tiles. The files in the bucket stay.

    It returns a dict with ``collection_id``, ``deleted`` (whether this task deleted it), ``processing_units`` and
    ``estimated_processing_units`` (PU). Both costs are also pushed to XCom.

    .. seealso:: :doc:`/how-to/operators/byoc`

    :param collection_id: with or without ``byoc-`` in front. (templated)
    :param if_missing: ``skip`` succeeds without such a collection, ``fail`` fails.
    :param kwargs: arguments of :class:`~sentinelhub_provider.operators.base.PaidOperator`.
    """

    strict = ("if_missing", "fail")

    def __init__(self, *, collection_id: str, if_missing: str = "skip", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_id, self.if_missing = collection_id, if_missing

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.requests import collection_endpoint, read_collection_id

        self.if_missing = read_choice(self.if_missing, IF_MISSING, "if_missing")
        collection_id = read_collection_id(self.collection_id)
        endpoint = collection_endpoint(collection_id)
        # This look comes first, so that a DELETE repeated after a lost answer does not take its own success for a miss.
        is_there = self._calls.exists(endpoint)
        was_deleted = not is_there and self._has_begun(context, collection_id)
        if not is_there and not was_deleted and self.if_missing == "fail":
            raise SentinelHubNotFoundError(
                f"There is no BYOC collection {collection_id}. Check collection_id, or set if_missing to 'skip'."
            )
        estimated = self._check_cost(context, int(is_there))
        if is_there:
            self._begin(context, collection_id)
        deleted = was_deleted or (is_there and self._calls.delete(endpoint))
        self.log.info("collection %s %s", collection_id, "is deleted" if deleted else "was not there")
        return self._with_costs(estimated, collection_id=collection_id, deleted=deleted)


class SentinelHubByocDeleteTilesOperator(ByocOperator):
    """Deletes tiles of a collection by their paths. The files in the bucket stay.

    It returns a dict with the numbers ``tiles``, ``deleted`` and ``missing``, and with ``collection_id``,
    ``processing_units`` and ``estimated_processing_units`` (PU). Both costs are also pushed to XCom.

    .. seealso:: :doc:`/how-to/operators/byoc`

    :param collection_id: with or without ``byoc-`` in front. (templated)
    :param tiles: as for :class:`SentinelHubByocIngestOperator`. Only the paths count. (templated)
    :param if_missing: ``skip`` ignores a missing tile, ``fail`` fails and deletes none.
    :param kwargs: arguments of :class:`~sentinelhub_provider.operators.base.PaidOperator`.
    """

    strict = ("if_missing", "fail")
    template_fields_renderers = dict.fromkeys(("tiles",), "json")

    def __init__(self, *, collection_id: str, tiles: Tiles, if_missing: str = "skip", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_id, self.tiles, self.if_missing = collection_id, tiles, if_missing

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.api.byoc.ingestion import find_tiles
        from sentinelhub_provider.api.byoc.requests import read_collection_id
        from sentinelhub_provider.api.byoc.tiles import build_tiles, by_path, tiles_endpoint

        self.if_missing = read_choice(self.if_missing, IF_MISSING, "if_missing")
        collection_id = read_collection_id(self.collection_id)
        paths = [tile.path for tile in build_tiles(self.structured("tiles"))]
        there = by_path(self._calls.drive(find_tiles(collection_id, paths)))
        missing = [path for path in paths if path not in there]
        were_deleted = len(missing) if missing and self._has_begun(context, collection_id) else 0
        if missing and not were_deleted and self.if_missing == "fail":
            raise SentinelHubNotFoundError(
                f"{len(missing)} of {len(paths)} tiles are not in BYOC collection {collection_id}: "
                f"{', '.join(map(repr, missing[:3]))}{' and more' if len(missing) > 3 else ''}. Nothing was deleted. "
                "Check tiles, or set if_missing to 'skip'."
            )
        estimated = self._check_cost(context, len(paths) - len(missing))
        found = [tiles_endpoint(collection_id, there[path].id) for path in paths if path in there]
        if found:
            self._begin(context, collection_id)
        deleted = were_deleted + sum(map(self._calls.delete, found))
        self.log.info("%d tiles are deleted, %d were not there", deleted, len(paths) - deleted)
        counts = {"tiles": len(paths), "deleted": deleted, "missing": len(paths) - deleted}
        return self._with_costs(estimated, collection_id=collection_id, **counts)
