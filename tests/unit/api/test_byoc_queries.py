"""Looking for tiles: which requests it takes. No service."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from sentinelhub_provider.api.byoc.ingestion import Get, find_tiles, list_items
from sentinelhub_provider.exceptions import SentinelHubResponseError

ID = "12345678-1234-1234-1234-123456789abc"
LIST = f"/byoc/v1/collections/{ID}/tiles"


class Service:
    """A collection with tiles at these paths, oldest first, listed in pages of ``size``."""

    def __init__(self, *paths: str, size: int = 100) -> None:
        self.paths, self.size = list(paths), size
        self.asked: list[dict[str, Any]] = []

    def run(self, flow: Generator[Get, Any, Any]) -> Any:
        """Answer until the flow has what it wants."""
        answer = None
        try:
            while True:
                answer = self._answer(flow.send(answer))
        except StopIteration as end:
            return end.value

    def _answer(self, look: Get) -> Any:
        assert look.endpoint == LIST
        self.asked.append(dict(look.params))
        paths, links = self.paths[::-1], {}
        if "path" in look.params:
            paths = [path for path in paths if path == look.params["path"]]
        else:
            start = int(look.params.get("viewtoken", 0))
            links = {"nextToken": str(start + self.size)} if start + self.size < len(paths) else {}
            paths = paths[start : start + self.size]
        return {"data": [{"id": path, "path": path, "status": "INGESTED"} for path in paths], "links": links}

    def find(self, *paths: str) -> set[str]:
        """Find tiles; returns the paths of those that were met and wanted."""
        return {tile.path for tile in self.run(find_tiles(ID, paths))} & set(paths)


def test_nothing_is_asked_for_nothing():
    """No tiles, no requests."""
    service = Service("a")

    assert service.find() == set()
    assert service.asked == []


def test_many_among_few_are_found_in_the_list():
    """One request to a page, newest first; what is not there needs no other."""
    paths = [f"{number}/(BAND).tif" for number in range(250)]
    service = Service(*paths)

    assert service.find(*paths, *[f"new/{number}/(BAND).tif" for number in range(9)]) == set(paths)
    assert [asked.get("viewtoken") for asked in service.asked] == [None, "100", "200"]
    assert service.asked[0] == {"count": 100, "sort": "created:desc"}


def test_few_among_many_are_looked_for_one_by_one():
    """The list of a large collection is not read to its end."""
    service = Service("old/(BAND).tif", *[f"{number}" for number in range(10_000)])

    assert service.find("old/(BAND).tif", "9999", "none/(BAND).tif") == {"old/(BAND).tif", "9999"}
    assert [asked.get("path") for asked in service.asked] == [None, None, "old/(BAND).tif", "none/(BAND).tif"]


def test_no_more_is_read_when_all_are_found():
    """As when a task runs again."""
    service = Service(*[f"{number}" for number in range(300)])

    assert service.find(*[f"{number}" for number in range(250, 300)]) == {f"{number}" for number in range(250, 300)}
    assert len(service.asked) == 1


def test_a_folder_is_looked_for_in_both_spellings():
    """The service may list it by its files."""
    service = Service("a/(BAND).tiff", *[f"{number}" for number in range(500)])

    tiles = service.run(find_tiles(ID, ["a"]))

    assert tiles[-1].path == "a/(BAND).tiff"
    assert [asked["path"] for asked in service.asked if "path" in asked] == ["a", "a/(BAND).tiff"]


def test_odd_tiles_of_others_do_not_matter():
    """Such as one in a state that is newer than this package; of a wanted tile it is an error."""
    pages = {"data": [{"id": "x", "path": "odd", "status": "ARCHIVED"}, {"id": "a", "path": "a", "status": "INGESTED"}]}

    flow = find_tiles(ID, ["a"])
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send(pages)
    assert [tile.path for tile in end.value.value] == ["a"]

    flow = find_tiles(ID, ["odd"])
    next(flow)
    with pytest.raises(SentinelHubResponseError, match="ARCHIVED"):
        flow.send(pages)


def test_a_list_that_leads_in_a_circle_is_an_error():
    """Page two, page three, page two: the task would turn pages for ever."""
    flow = list_items(LIST)
    next(flow)
    for token in ("2", "3"):
        flow.send({"data": [{"id": "a"}], "links": {"nextToken": token}})

    with pytest.raises(SentinelHubResponseError, match="to itself or back"):
        flow.send({"data": [{"id": "a"}], "links": {"nextToken": "2"}})


def test_an_endless_list_is_an_error():
    """Its next page would be asked for for ever."""
    flow = list_items(LIST)
    next(flow)
    flow.send({"data": [{"id": "a"}], "links": {"nextToken": "t"}})

    with pytest.raises(SentinelHubResponseError, match="to itself"):
        flow.send({"data": [{"id": "a"}], "links": {"nextToken": "t"}})
