"""Control of the Catalog's scenes, which are published now or later. Mounted with the control surface."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.access import SandboxDep
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.world.scenes.publication import Publication, PublishedScene

router = APIRouter(prefix="/sandbox/control/scenes")


class PublicationBody(BaseModel):
    """Scenes to publish. See :class:`.publication.Publication`."""

    model_config = ConfigDict(extra="forbid")

    collection: str = Publication().collection
    count: int = Field(default=1, ge=1)
    tile: str | None = None
    bbox: tuple[float, float, float, float] | None = None
    sensed: datetime | None = None
    published: datetime | None = None
    every: float = Field(default=0.0, ge=0)
    cloud_cover: float | None = Field(default=None, ge=0, le=100)
    replaces: str | None = None


class FreezeBody(BaseModel):
    """Whether the synthetic world's own scenes shall end."""

    model_config = ConfigDict(extra="forbid")

    frozen: bool = True


@router.post("")
def publish(body: PublicationBody, sandbox: SandboxDep) -> Response:
    """Publish scenes."""
    try:
        scenes = sandbox.scenes.publish(Publication(**body.model_dump()))
    except ValueError as error:
        raise ApiError(400, "COMMON_BAD_PAYLOAD", str(error)) from error
    return json_response([_shape(scene) for scene in scenes], status=201)


@router.get("")
def published(sandbox: SandboxDep) -> Response:
    """List the published scenes and those to come."""
    return json_response([_shape(scene) for scene in sandbox.scenes.published()])


@router.delete("")
def clear(sandbox: SandboxDep) -> Response:
    """Remove all published scenes."""
    sandbox.scenes.clear()
    return Response(status_code=204)


@router.put("/freeze")
def freeze(body: FreezeBody, sandbox: SandboxDep) -> Response:
    """End the world's own scenes now, or let them go on."""
    sandbox.scenes.freeze(body.frozen)
    return json_response(body.model_dump())


def _shape(scene: PublishedScene) -> dict[str, Any]:
    return {
        "id": scene.id,
        "datetime": scene.datetime.isoformat(),
        "published": scene.published.isoformat(),
        "cloud_cover": scene.cloud_cover,
        "bbox": list(scene.bbox),
    }
