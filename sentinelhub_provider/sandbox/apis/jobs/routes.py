"""Routes to create, list, show, analyse, start and stop jobs, for Batch Process and Batch Statistical."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.gateway import extra
from sentinelhub_provider.sandbox.gateway.access import CallerDep, SandboxDep, base_url
from sentinelhub_provider.sandbox.gateway.bodies import read_request_with_script_in
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.settings import ClientSettings

from .answers import show_page, show_task
from .model import Job
from .states import Action, Kind
from .store import JobStore, not_found


@dataclass(frozen=True)
class JobApi:
    """An API of jobs that are created, analysed, started and stopped.

    :param url: path of the list of jobs in the current scheme.
    :param cost_field: ``costPU`` or ``costPu``, because the APIs differ.
    :param script_holder: field of a request that holds the evalscript.
    :param make: checks a request and makes the job for a client's id. It may load numpy and V8.
    """

    kind: Kind
    url: str
    cost_field: str
    script_holder: str
    make: Callable[[Sandbox, str, dict[str, Any]], Job]

    def find(self, sandbox: Sandbox, caller: ClientSettings, job_id: str) -> Job:
        """Return a client's job. Raises ``ApiError`` (404)."""
        job = JobStore.of(sandbox).find(self.kind, caller.client_id, job_id)
        if job is None:
            raise not_found(self.kind, job_id)
        return job

    def show(self, job: Job) -> dict[str, Any]:
        """Write a job with its request."""
        return show_task(job, self.cost_field)

    def act(self, sandbox: Sandbox, caller: ClientSettings, job_id: str, action: Action) -> Response:
        """Take a user's action. Raises ``ApiError`` (400, 403, 404)."""
        job = self.find(sandbox, caller, job_id)
        if self.kind.reserve and action != "STOP":
            JobStore.of(sandbox).require_reserve(caller.client_id)
        JobStore.of(sandbox).act(job, action)
        return Response(status_code=204)


def job_routes(api: JobApi) -> APIRouter:
    """Return the routes of an API's jobs, to be mounted at each of its prefixes."""
    router = APIRouter()

    @router.post("")
    async def create(request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
        """Create a job. Its work begins when it is analysed or started."""
        body = await read_request_with_script_in(request, api.script_holder)

        def make() -> Job:
            with extra.needed():
                return api.make(sandbox, caller.client_id, body)

        return json_response(api.show(await run_in_threadpool(make)), status=201)

    @router.get("")
    def list_jobs(request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
        """List the caller's jobs, oldest first unless ``sort`` says otherwise."""
        url, params = f"{base_url(request)}{api.url}", dict(request.query_params)
        return json_response(
            show_page(JobStore.of(sandbox), api.kind, caller.client_id, params, url=url, show=api.show)
        )

    @router.get("/{job_id}")
    def get_job(job_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
        """Return one job."""
        return json_response(api.show(api.find(sandbox, caller, job_id)))

    @router.post("/{job_id}/analyse")
    def analyse(job_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
        """Analyse a job."""
        return api.act(sandbox, caller, job_id, "ANALYSE")

    @router.post("/{job_id}/start")
    def start(job_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
        """Start a job, or go on with a stopped one."""
        return api.act(sandbox, caller, job_id, "START")

    @router.post("/{job_id}/stop")
    def stop(job_id: str, sandbox: SandboxDep, caller: CallerDep) -> Response:
        """Stop a job. The stop takes effect a little later."""
        return api.act(sandbox, caller, job_id, "STOP")

    return router
