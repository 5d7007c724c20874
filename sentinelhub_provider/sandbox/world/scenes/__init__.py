"""Scenes to search and to render. They are synthetic or come from a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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

NOT_IMITATED: Final = (
    "Scenes: synthetic ones look plausible and follow the seasons, but do not resemble the real place.",
    (
        "Scenes: Sentinel-1 is always IW with VV and VH. HH and HV are refused as missing polarizations. "
        "Orthorectification is checked and charged, but moves no pixel. The Lee filter dampens speckle "
        "without regard to edges."
    ),
)
"""Features of the service that the sandbox lacks, and unknown behaviour of the service."""


def __getattr__(name: str) -> Any:
    """Load the sources, which need numpy, only when they are used, so that the sandbox starts faster."""
    if name == "SyntheticScenes":
        from sentinelhub_provider.sandbox.world.scenes.synthetic import SyntheticScenes

        return SyntheticScenes
    if name == "FolderScenes":
        from sentinelhub_provider.sandbox.world.scenes.folder import FolderScenes

        return FolderScenes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
