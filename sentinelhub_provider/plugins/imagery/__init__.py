"""The page *Satellite imagery* in Airflow's own web interface.

Every process of Airflow imports this module, so it only declares where the page is. The API server imports the app with
its first request.
"""

from __future__ import annotations

from typing import Any

from airflow.configuration import conf

from sentinelhub_provider.links.imagery import PREFIX, TITLE

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='{}' "
    "stroke-width='2' stroke-linecap='round' stroke-linejoin='round'%3E%3Cpath d='m13 7 4-4 4 4-4 4z"
    "M11 17l-4 4-4-4 4-4zM8 12l4 4 4-4-4-4zM16 21a5 5 0 0 0 5-5M16 18a2 2 0 0 0 2-2'/%3E%3C/svg%3E"
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request."""
    from sentinelhub_provider.plugins.imagery.app import app as pages

    await pages(scope, receive, send)


APPS: list[dict[str, Any]] = [{"app": app, "url_prefix": f"/{PREFIX}", "name": TITLE}]


def views() -> list[dict[str, Any]]:
    """Return the entry of the menu *Browse*, and the tab of task instances if ``[sentinelhub] task_tab`` is on.

    Addresses have no leading slash, because they are below Airflow's base URL with any path.
    """
    icons = {"icon": ICON.format("%2352525b"), "icon_dark_mode": ICON.format("%23d4d4d8")}
    shown = [
        {
            "name": TITLE,
            "href": f"{PREFIX}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "satellite-imagery",
            **icons,
        }
    ]
    if conf.getboolean("sentinelhub", "task_tab", fallback=False):
        href = f"{PREFIX}/tasks/{{DAG_ID}}/{{RUN_ID}}/{{TASK_ID}}/{{MAP_INDEX}}"
        shown.append({"name": "Imagery", "href": href, "destination": "task_instance", "url_route": "imagery", **icons})
    return shown
