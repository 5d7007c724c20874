"""Tasks that wait in the triggerer for the jobs that a run names."""

from __future__ import annotations

import time

from airflow.sdk import DAG, BaseOperator, task

from sentinelhub_provider.api.jobs.events import validated_event
from sentinelhub_provider.api.jobs.job import BATCH_PROCESS
from sentinelhub_provider.sensors.job import SentinelHubJobSensor
from sentinelhub_provider.triggers.job import SentinelHubJobTrigger


class OwnJob(BaseOperator):
    """Waits for a job that is the task's own: it is stopped when the task is killed."""

    template_fields = ("job_id",)

    def __init__(self, *, job_id, **kwargs):
        super().__init__(**kwargs)
        self.job_id = job_id

    def execute(self, context):
        """Wait."""
        trigger = SentinelHubJobTrigger("batch-process", self.job_id, end_time=time.time() + 600, poll_interval=2)
        self.defer(trigger=trigger, method_name="finish")

    def finish(self, context, event=None):
        """Tell how it ended."""
        return validated_event(event, BATCH_PROCESS, self.job_id).job.state


with DAG(dag_id="others_jobs", schedule=None):

    @task
    def jobs_of(dag_run=None) -> list[str]:
        """Return the jobs that the run was started for."""
        return dag_run.conf["jobs"]

    SentinelHubJobSensor.partial(
        task_id="wait", kind="batch-process", deferrable=True, poke_interval=2, timeout=600
    ).expand(job_id=jobs_of())

with DAG(dag_id="own_job", schedule=None):
    OwnJob(task_id="wait", job_id="{{ dag_run.conf['job'] }}")
