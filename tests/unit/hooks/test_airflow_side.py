"""Calls to Airflow from an event loop, as a triggerer makes them."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import async_to_sync

from sentinelhub_provider.hooks import airflow_side
from sentinelhub_provider.hooks.airflow_side import ask_airflow


def test_an_answer_of_airflow_is_read_even_if_the_caller_left():
    """Airflow 3.1's triggerer dies of an answer that nobody reads: "Response read out of order"."""
    said: list[str] = []

    async def triggerer() -> None:
        asked, answer = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def send() -> None:
            asked.set()
            try:
                said.append(await answer)
            except asyncio.CancelledError:
                said.append("not read")
                raise

        asking = asyncio.create_task(ask_airflow(async_to_sync(send)))
        await asked.wait()
        asking.cancel()
        await asyncio.wait([asking])
        if not answer.done():
            answer.set_result("read")
        await asyncio.gather(*airflow_side._calls)

    asyncio.run(triggerer())

    assert said == ["read"]
    assert not airflow_side._calls


def test_an_error_that_nobody_waits_for_is_not_reported_twice(caplog: pytest.LogCaptureFixture):
    """It reaches the caller if there is one. Without one, asyncio does not complain of it."""

    def refuse() -> None:
        raise ValueError("no database")

    async def triggerer() -> None:
        with pytest.raises(ValueError, match="no database"):
            await ask_airflow(refuse)
        asking = asyncio.create_task(ask_airflow(refuse))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, *airflow_side._calls, return_exceptions=True)

    asyncio.run(triggerer())

    assert caplog.text == ""
