"""Taking bodies in: counted, their beginning kept, the rest passed on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.transport.answers import EXCERPT_SIZE
from sentinelhub_provider.transport.download import Intake, MemoryReceiver


@given(st.lists(st.integers(0, EXCERPT_SIZE), max_size=6))
def test_intake_passes_all_on_and_keeps_the_beginning(sizes: list[int]):
    """Whatever the pieces a body comes in."""
    receiver = MemoryReceiver()
    intake = Intake(receiver)
    for number, size in enumerate(sizes):
        intake.feed(bytes([number]) * size)

    assert intake.size == sum(sizes) == len(receiver.getvalue())
    assert intake.excerpt == receiver.getvalue()[:EXCERPT_SIZE]


def test_new_attempt_drops_what_an_earlier_one_left():
    """A repeated request must not answer with one body and a half."""
    receiver = MemoryReceiver()
    Intake(receiver).feed(b"half")
    Intake(receiver).feed(b"whole")

    assert receiver.getvalue() == b"whole"
