"""Scenes: what there is to search and to render, synthetic or from a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentinelhub_provider.sandbox.world.scenes.model import (
    BandInfo,
    CollectionInfo,
    Scene,
    SceneSource,
    find_collection,
)

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.world.scenes.folder import FolderScenes
    from sentinelhub_provider.sandbox.world.scenes.synthetic import SyntheticScenes

__all__ = [
    "BandInfo",
    "CollectionInfo",
    "FolderScenes",
    "Scene",
    "SceneSource",
    "SyntheticScenes",
    "find_collection",
]


def __getattr__(name: str) -> Any:
    """Load the sources, which need numpy, only when they are asked for: the sandbox starts faster."""
    if name == "SyntheticScenes":
        from sentinelhub_provider.sandbox.world.scenes.synthetic import SyntheticScenes

        return SyntheticScenes
    if name == "FolderScenes":
        from sentinelhub_provider.sandbox.world.scenes.folder import FolderScenes

        return FolderScenes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
