"""When jobs are polled, and by which requests."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from sentinelhub_provider.api.jobs.polling import (
    LONGEST_BACK_OFF,
    documents_by_id,
    first_wait,
    is_due,
    is_past,
    rest_after,
    should_list,
    should_read_on,
    wait_after_fault,
    wait_between,
)
from sentinelhub_provider.exceptions import SentinelHubResponseError


@pytest.mark.parametrize(
    ("age", "expected"), [(0, 5), (50, 5), (120, 12), (300, 30), (86_400, 30)], ids=lambda value: str(value)
)
def test_interval_grows_with_the_age_of_a_job(age: float, expected: float):
    """From 5 seconds to the interval that was asked for."""
    assert wait_between(age, 30.0, jitter=0.0) == expected


def test_jitter_only_shortens():
    """An interval is never longer than was asked for, also at its longest."""
    assert wait_between(1e6, 30.0, jitter=0.99) == pytest.approx(27.03)
    assert wait_after_fault(20, 30.0, 0.99) < LONGEST_BACK_OFF


def test_short_interval_is_kept():
    """Who asks for a second gets a second."""
    assert (first_wait(1.0), wait_between(0.0, 1.0, 0.0)) == (1.0, 1.0)


def test_waits_after_faults_grow_to_their_limit():
    """Doubled each time, five minutes at most, however many there were."""
    waits = [wait_after_fault(faults, 30.0, 0.0) for faults in range(1, 2_000)]

    assert waits[:3] == [5.0, 10.0, 20.0]
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert waits[-1] == LONGEST_BACK_OFF


def test_service_may_ask_for_a_longer_wait():
    """The larger of the two."""
    assert wait_after_fault(1, 30.0, 0.0, retry_after=40.0) == 40.0
    assert wait_after_fault(1, 30.0, 0.0, retry_after=1.0) == 5.0


def test_first_poll_joins_whichever_round_comes_first():
    """A thousand that start at about the same time make one round."""
    assert is_due(due=104.9, interval=5.0, now=100.0, is_first=True)
    assert not is_due(due=104.9, interval=5.0, now=100.0, is_first=False)


def test_poll_that_is_nearly_due_joins_a_round():
    """So that those who began apart come together."""
    assert is_due(due=106.0, interval=30.0, now=100.0, is_first=False)
    assert not is_due(due=106.1, interval=30.0, now=100.0, is_first=False)


@pytest.mark.parametrize(
    ("due", "depth", "listed"),
    [
        pytest.param(1, None, False, id="one"),
        pytest.param(3, 1, False, id="few"),
        pytest.param(4, None, True, id="more"),
        pytest.param(1000, None, True, id="thousand"),
        pytest.param(1000, 10, True, id="thousand-on-ten-pages"),
        pytest.param(20, 40, False, id="long-account"),
    ],
)
def test_listing_is_read_where_it_takes_fewer_requests(due: int, depth: int | None, listed: bool):
    """An account with forty pages of others' jobs is no place to look for twenty."""
    assert should_list(due, depth) is listed


def test_last_missing_job_is_asked_for_by_itself():
    """One page more would cost as much."""
    assert not should_read_on(unseen=1, fruitless=0)
    assert should_read_on(unseen=2, fruitless=0)


def test_fruitless_pages_come_to_an_end():
    """As many as there are jobs left."""
    assert should_read_on(unseen=5, fruitless=4)
    assert not should_read_on(unseen=5, fruitless=5)


def test_listing_ends_where_it_is_older_than_all_that_is_missing():
    """It is sorted: what it did not hold so far, it does not hold."""
    older, younger = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    assert is_past(older, younger)
    assert not is_past(younger, older)
    assert not is_past(None, younger)
    assert not is_past(older, None)


def test_rest_keeps_to_one_request_a_second():
    """A round of a thousand jobs on ten pages leaves room within thirty seconds."""
    assert (rest_after(3), rest_after(10), rest_after(33)) == (0.0, 7.0, 30.0)


def test_page_is_read_by_id():
    """What has no id is nobody's."""
    assert documents_by_id({"data": [{"id": "a"}, {"id": None}, "b", None]}) == {"a": {"id": "a"}}
    assert documents_by_id({"data": []}) == {}


@pytest.mark.parametrize("page", [None, [], {}, {"data": None}, {"data": {}}, "<html>"], ids=repr)
def test_what_is_no_page_is_refused(page: Any):
    """It must not pass for an account without jobs."""
    with pytest.raises(SentinelHubResponseError, match="no list under 'data'"):
        documents_by_id(page)
