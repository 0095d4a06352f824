"""Event logs: their JSON form, and what they come to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfp.engine.errors import StoreError
from mfp.serve.events import Event, SessionRecord, progress

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
EVENTS = st.one_of(
    st.builds(Event, st.just("click"), NUMBERS, NUMBERS, st.booleans()),
    st.builds(Event, st.sampled_from(["undo", "redo", "reset"])),
    st.builds(Event, st.just("finish"), counts=st.text(st.characters(min_codepoint=48, max_codepoint=111))),
)


@given(EVENTS)
def test_events_come_back_to_the_bit(event):
    assert Event.from_json(event.to_json()) == event


def test_records_come_back():
    options = {"size": (384, 384), "flip": True, "threshold": 0.5, "n_early": 7, "r_max": 100.0}
    record = SessionRecord("a" * 22, "lite0", "sha256:1", options, 640, 480, "image/png", 1.5)
    assert SessionRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"kind":"jump"}',
        '{"kind":"undo","z":1}',
        '{"kind":"click","x":NaN,"y":0,"positive":true}',
        '{"kind":"click","x":"a","y":0,"positive":true}',
        '{"kind":"finish","counts":3}',
    ],
)
def test_what_is_no_event_is_refused(text):
    with pytest.raises(StoreError, match="expected an event"):
        Event.from_json(text)


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"id": "a"})])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(StoreError, match="expected the record"):
        SessionRecord.from_json(text)


def test_a_log_that_takes_back_what_is_not_there_is_damaged():
    with pytest.raises(StoreError, match="event 1 is undo"):
        progress([Event("reset"), Event("undo")])
    with pytest.raises(StoreError, match="redo"):
        progress([Event("click", 1, 1), Event("redo")])


def test_what_a_log_comes_to():
    a, b, c, d = (Event("click", float(i), 0.0) for i in range(4))
    undo, redo, finish = Event("undo"), Event("redo"), Event("finish", counts="x")
    now = progress([a, undo, redo, b, undo, c, finish, a, b, Event("reset"), b, c, d, undo, undo])
    assert [(one.clicks, one.counts) for one in now.finished] == [((a, c), "x")]
    assert now.clicks == (b,)
    assert now.undone == (d, c)  # redo brings c back first
