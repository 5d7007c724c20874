"""The STAC Items of delivered pictures, which the operators of Batch Process and Async Process share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.operators.jobs.base import SentinelHubJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.datasets import RasterRequest
    from sentinelhub_provider.api.jobs.job import Job
    from sentinelhub_provider.operators.argument_types import FilePath
    from sentinelhub_provider.operators.jobs.items import Delivered, JobItems


class CataloguedJobOperator(SentinelHubJobOperator):
    """Adds STAC Items of the pictures that the job delivers.

    :param stac: where the STAC Items go. ``True`` puts each beside its picture. A folder or URL takes all of them.
        ``False`` writes none. A Collection, ``collection.json``, lists them. There are no Items without
        ``check_features``, or if ``delivery_conn_id`` cannot read the bucket. (templated)
    :param kwargs: arguments of :class:`~sentinelhub_provider.operators.jobs.base.SentinelHubJobOperator`.
    """

    def __init__(self, *, stac: bool | FilePath = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stac = stac

    def items(self) -> JobItems:
        """Return the items of the job's pictures. Raises :class:`SentinelHubRequestError` for an odd ``stac``."""
        from sentinelhub_provider.operators.jobs.items import JobItems

        return JobItems(self.stac, lambda: self.hook.settings, self.delivery_conn_id)

    def _check_arguments(self) -> None:
        super()._check_arguments()
        self.items()

    def payload(self, context: Context) -> dict[str, Any]:
        """Return what is sent, once the folder of items is known to be writable; see the base."""
        if self.check_features:
            self.items().check()
        return super().payload(context)

    def catalogued(
        self,
        job: Job | None,
        pictures: list[Delivered],
        folder: str,
        request_of: Callable[[Delivered], RasterRequest],
        media_types: Mapping[str, str],
        **properties: Any,
    ) -> tuple[list[str], str | None]:
        """Have pictures described, and return the URLs of their items and of the Collection; a fault is logged once.

        For the arguments see :meth:`~sentinelhub_provider.operators.jobs.items.JobItems.write`.
        """
        from sentinelhub_provider.operators.jobs.items import JOB
        from sentinelhub_provider.operators.raster.told import OWN, SERVICE

        job_id = None if job is None else job.id
        items = self.items()
        own = {f"{OWN}{name}": value for name, value in properties.items()}
        try:
            there = items.write(
                pictures,
                folder,
                request_of,
                media_types,
                properties={SERVICE: self.hook.settings.base_url, JOB: job_id, **own},
                has_earlier=self.job_id is not None or not self.attempt.is_first,
            )
        except Exception as error:  # the pictures are paid for and delivered: nothing here may fail the task
            self.log.warning("the pictures of %s job %s have no STAC Items: %s", self.kind, job_id, error)
            return [], None
        return there, items.url if there else None
