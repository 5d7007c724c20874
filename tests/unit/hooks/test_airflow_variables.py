"""Where Airflow Variables can be used."""

from __future__ import annotations

import asyncio
import logging
import threading
from types import SimpleNamespace

import pytest
from token_stores import MemoryVariables

from sentinelhub_provider.connection import ClientAuth
from sentinelhub_provider.exceptions import SentinelHubConfigurationError, SentinelHubTransportError
from sentinelhub_provider.hooks import airflow_variables
from sentinelhub_provider.hooks.airflow_variables import RENEWAL_CHANCE, VariableStateStore, VariableStore
from sentinelhub_provider.hooks.sharing import open_token_store, spending_budget, token_broker
from sentinelhub_provider.oauth.broker import forget_tokens
from sentinelhub_provider.transport.budget import LEDGER, Budget, Cost, Entry, SpendingLimits


async def opened() -> object:
    """Open the store as a trigger does."""
    return open_token_store("variable")


def test_a_trigger_of_an_old_airflow_keeps_its_token_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Its triggerer would break down; a task's process has no such fault."""
    monkeypatch.setattr(airflow_variables, "ANSWERS_ANY_THREAD", False)

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(opened()) is None
    assert "before Airflow 3.2" in caplog.text
    assert isinstance(open_token_store("variable"), VariableStore)


def test_a_trigger_of_a_newer_airflow_uses_variables():
    """From 3.2 on, any thread gets its own answer."""
    assert isinstance(asyncio.run(opened()), VariableStore)


def test_what_is_written_is_read():
    """An empty value, which a person may leave behind, is a miss."""
    variables = MemoryVariables()
    store = VariableStore(variables)
    assert store.read("key") is None
    store.write("key", b"encrypted", 60.0)
    assert VariableStore(variables).read("key").data == b"encrypted"
    variables.values = dict.fromkeys(variables.values, "")
    assert store.read("key") is None


def test_early_renewal_is_spread_by_chance():
    """Who holds a token that still works fetches with a small chance only; who has none always does."""
    for chance, renews in ((RENEWAL_CHANCE - 0.01, True), (RENEWAL_CHANCE, False)):
        lock = VariableStore(MemoryVariables(), chance=lambda chance=chance: chance).lock("key")
        assert lock.acquire(0.0) is renews
        assert lock.acquire(1.0)
        lock.release()


def test_token_of_an_old_airflow_is_fetched_in_the_callers_thread(monkeypatch: pytest.MonkeyPatch):
    """Its tasks may ask for Variables from one thread only."""
    settings = SimpleNamespace(
        auth_url="https://auth.example.org",
        client_id="id",
        client_secret="secret",
        client_auth=ClientAuth.SECRET_POST,
        scope=None,
        auth_cache="variable",
        auth_cache_prefix="sentinelhub",
    )
    assert token_broker(settings)._run is not None
    forget_tokens()
    monkeypatch.setattr(airflow_variables, "ANSWERS_ANY_THREAD", False)
    assert token_broker(settings)._run is None


class SilentVariables(MemoryVariables):
    """Variables as Airflow gives them while its server cannot be asked: as if there were none."""

    silent = False

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return a value."""
        return default if self.silent else super().get(name, default)


def test_variables_that_cannot_be_read_are_not_an_empty_ledger():
    """What was spent would be forgotten, and may be spent again."""
    variables = SilentVariables()
    budget = Budget(VariableStateStore("budget_a", LEDGER, variables), SpendingLimits(per_month=1))
    budget.set_aside(Cost(1))
    variables.silent = True
    with pytest.raises(SentinelHubTransportError, match="auth_cache"):
        budget.set_aside(Cost(1))
    variables.silent = False
    assert [standing.reserved for standing in budget.standings()] == [1]


def test_variable_of_a_budget_says_what_is_lost_with_it():
    """Those of tokens may be deleted at any time."""
    described: dict[str, str] = {}

    class Described(MemoryVariables):
        def set(self, name: str, value: str, *, description: str) -> None:
            described[name] = description
            super().set(name, value, description=description)

    store = VariableStateStore("budget_a", LEDGER, Described())
    Budget(store, SpendingLimits(per_month=1)).set_aside(Cost(1))
    assert store.place == "the Airflow Variable sentinelhub_cache_budget_a"
    assert "all budgets start again" in described["sentinelhub_cache_budget_a"]
    assert "You may delete it at any time" in described["sentinelhub_cache_probe"]


def test_threads_of_a_process_lose_nothing_of_each_other_in_variables():
    """Tiles of a picture are fetched by many threads, and their changes are not by chance in the same moment."""
    variables = MemoryVariables()
    store = VariableStateStore("budget_a", LEDGER, variables)
    meanwhile: list[threading.Thread] = []

    def change(ledger, now):
        other = threading.Thread(target=store.update, args=[lambda ledger, now: {**ledger, "other": Entry(2.0, now)}])
        other.start()
        other.join(0.2)
        meanwhile.append(other)
        return {**ledger, "one": Entry(1.0, now)}

    store.update(change)
    meanwhile[0].join()
    assert sorted(store.read()[0]) == ["one", "other"]


def test_a_trigger_of_an_old_airflow_keeps_no_budget_in_variables(monkeypatch: pytest.MonkeyPatch):
    """Its triggerer would break down, and without the ledger nothing may be spent."""
    monkeypatch.setattr(airflow_variables, "ANSWERS_ANY_THREAD", False)
    settings = SimpleNamespace(auth_cache="variable", processing_units_per_day=1, processing_units_per_month=None)

    async def opened() -> Budget:
        return spending_budget(settings, SpendingLimits())

    budget = asyncio.run(opened())  # free calls, such as those that watch a job, go on
    with pytest.raises(SentinelHubConfigurationError, match=r"before Airflow 3\.2"):
        budget.set_aside(Cost(1))
