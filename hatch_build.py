"""Build hook: the README as a package index shows it, where a relative link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^]]*)\]\((?!https?:|#)(?P<path>[^)]+)\)")


class ReadmeHook(MetadataHookInterface):
    """Hatchling's hook for the dynamic field ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README."""
        text = index_readme(
            (Path(self.root) / "README.md").read_text(), metadata["urls"].get("Repository"), metadata["version"]
        )
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def index_readme(text: str, repository: str | None, version: str) -> str:
    """Return a README whose links and pictures work outside of the checkout.

    :param text: the README, whose relative links lead to files of the checkout.
    :param repository: address of the repository in GitHub's scheme, ``Repository`` of ``[project.urls]``. Without one,
        a link becomes its text, and a picture is left out.
    :param version: the version, whose tag ``v<version>`` has the files.
    """

    def absolute(link: re.Match[str]) -> str:
        image, label, path = link["image"], link["text"], link["path"]
        if repository is None:
            return "" if image else label
        return f"{image}[{label}]({repository.rstrip('/')}/{'raw' if image else 'blob'}/v{version}/{path})"

    return _LINK.sub(absolute, text)
