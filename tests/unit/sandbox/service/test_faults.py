"""Which request a fault affects, and how a token answer is spoiled."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sentinelhub_provider.sandbox.gateway.faults.model import (
    Fault,
    FaultPlan,
    Reset,
    Status,
    applies,
    concerns,
    spoil_token_answer,
)

TOKEN = {"access_token": "abc", "expires_in": 3600, "token_type": "Bearer"}


@pytest.mark.parametrize(
    ("pattern", "method", "expected"),
    [
        ("/process/v1", None, True),
        ("/process/*", "POST", True),
        ("*", "GET", False),
        ("*/process*", None, True),
        ("/Process/v1", None, False),
    ],
)
def test_a_fault_concerns_its_paths_and_method(pattern: str, method: str | None, expected: bool) -> None:
    """Patterns cover whole paths, with ``*``."""
    assert concerns(Fault(action=Reset(), path=pattern, method=method), "POST", "/process/v1") is expected


@pytest.mark.parametrize(
    ("fields", "seen", "applied", "draw", "expected"),
    [
        ({}, 0, 0, 0.99, True),
        ({}, 1, 1, 0.0, False),
        ({"times": 3}, 2, 2, 0.0, True),
        ({"times": 3}, 3, 3, 0.0, False),
        ({"times": None}, 10_000, 10_000, 0.0, True),
        ({"after": 2}, 1, 0, 0.0, False),
        ({"after": 2}, 2, 0, 0.0, True),
        ({"probability": 0.3, "times": None}, 5, 0, 0.29, True),
        ({"probability": 0.3, "times": None}, 5, 0, 0.30, False),
    ],
)
def test_when_a_fault_applies(fields: dict[str, Any], seen: int, applied: int, draw: float, expected: bool) -> None:
    """Once by default; so many times, after so many, or by chance where asked for."""
    assert applies(Fault(action=Reset(), **fields), seen=seen, applied=applied, draw=draw) is expected


def test_the_first_fault_that_applies_wins() -> None:
    """Faults are used up one after the other, in the order they were added."""
    plan = FaultPlan(seed=0)
    plan.add(Fault(action=Status(status=500)))
    plan.add(Fault(action=Status(status=503)))
    drawn = [plan.draw("GET", "/x") for _ in range(3)]
    assert [fault.action.status if fault else None for fault in drawn] == [500, 503, None]  # type: ignore[union-attr]


def test_chance_is_the_same_every_time() -> None:
    """The same seed affects the same requests, also after the plan was cleared."""
    plan = FaultPlan(seed=7)

    def applied() -> list[bool]:
        plan.clear()
        plan.add(Fault(action=Reset(), times=None, probability=0.3))
        return [plan.draw("GET", "/x") is not None for _ in range(200)]

    first = applied()
    assert first == applied()
    assert 30 < sum(first) < 90


@pytest.mark.parametrize(
    ("variant", "key", "expected"),
    [
        ("no_access_token", "access_token", None),
        ("empty_access_token", "access_token", ""),
        ("no_expires_in", "expires_in", None),
        ("zero_expires_in", "expires_in", 0),
        ("string_expires_in", "expires_in", "3600"),
        ("negative_expires_in", "expires_in", -1),
        ("nonsense_expires_in", "expires_in", "soon"),
        ("no_token_type", "token_type", None),
        ("other_token_type", "token_type", "mac"),
    ],
)
def test_token_answers_are_spoiled_in_one_place(variant: Any, key: str, expected: Any) -> None:
    """Each variant changes one member and leaves the rest."""
    spoiled = spoil_token_answer(TOKEN, variant)
    assert spoiled.pop(key, None) == expected
    assert spoiled == {name: value for name, value in TOKEN.items() if name != key}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"action": {"kind": "explode"}},
        {"action": {"kind": "status"}},
        {"action": {"kind": "status", "status": 99}},
        {"action": {"kind": "reset"}, "times": 0},
        {"action": {"kind": "reset"}, "probability": 0},
        {"action": {"kind": "reset"}, "paht": "/x"},
    ],
)
def test_a_fault_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    """Unknown members, kinds and impossible counts are errors, not no-ops."""
    with pytest.raises(ValidationError):
        Fault.model_validate(fields)
