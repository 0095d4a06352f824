"""Event logs: their JSON form, and what they come to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfp.serve.errors import StoreError
from mfp.serve.events import KINDS, Choice, Event, SessionRecord
from mfp.serve.sessions.history import History

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.text(st.characters(min_codepoint=48, max_codepoint=111))
OPTIONS = {"size": (384, 384), "flip": True, "threshold": 0.5, "n_early": 7, "r_max": 100.0}
START = Choice("lite0", "sha256:1", OPTIONS)
EVENTS = st.one_of(
    st.builds(Event, st.just("click"), NUMBERS, NUMBERS, st.booleans()),
    st.builds(Event, st.sampled_from(["undo", "redo", "reset"])),
    st.builds(Event, st.just("finish"), counts=COUNTS),
    st.builds(Event, st.just("select"), counts=COUNTS, object=st.integers(0)),
    st.builds(Event, st.sampled_from(["delete", "hide", "show"]), object=st.integers(0)),
    st.builds(
        Event,
        st.just("network"),
        network=st.text(),
        weights=st.text(),
        options=st.fixed_dictionaries(
            {
                "size": st.integers(1, 9) | st.tuples(st.integers(1, 9), st.integers(1, 9)),
                "flip": st.booleans(),
                "threshold": NUMBERS,
                "n_early": st.integers(0),
                "r_max": NUMBERS,
            }
        ),
    ),
)


@given(EVENTS)
def test_events_come_back_to_the_bit(event):
    assert Event.from_json(event.to_json()) == event


@given(EVENTS, st.text(), st.integers(0))
def test_events_in_a_store_come_back_to_the_bit(event, id, revision):
    line = event.sealed(id, revision)
    assert Event.opened(line, id, revision) == event
    assert Event.opened(line.encode(), id, revision) == event
    assert Event.opened(event.to_json(), id, revision) == event  # of a version without checksums
    for other in ((id + "x", revision), (id, revision + 1)):  # a row that has got to another place
        with pytest.raises(StoreError, match="damaged in the store"):
            Event.opened(line, *other)


def flipped(text):
    """A line with one bit flipped, each of them once."""
    data = text.encode()
    for place in range(len(data)):
        for bit in range(8):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


@pytest.mark.parametrize(
    "event",
    [
        Event("click", 120.25, 7.0, True),
        Event("undo"),
        Event("finish", counts="0Pt\\3"),
        Event("select", counts="", object=12),
        Event("hide", object=3),
        Event("network", network="lite0", weights="sha256:1", options=OPTIONS),
    ],
    ids=lambda event: event.kind,
)
def test_a_flipped_bit_of_an_event_is_noticed(event):
    for line in flipped(event.sealed("a" * 22, 17)):
        with pytest.raises(StoreError):
            Event.opened(line, "a" * 22, 17)


def record(**changes):
    fields = {"id": "a" * 22, "network": "lite0", "weights": "sha256:1", "options": dict(OPTIONS), "width": 640}
    fields |= {"height": 480, "media_type": "image/png", "created": 1.5, "name": "Käse.png", "sha256": "0" * 64}
    return SessionRecord(**fields | changes)


def test_records_come_back():
    assert SessionRecord.from_json(record().to_json()) == record()
    assert SessionRecord.from_json(record(options=OPTIONS | {"size": 400}).to_json()).options["size"] == 400


def test_records_of_versions_without_name_and_checksums_come_back():
    text = (
        '{"id":"aaaaaaaaaaaaaaaaaaaaaa","network":"lite0","weights":"sha256:1","options":{"size":[384,384],"flip":true,'
        '"threshold":0.5,"n_early":7,"r_max":100.0},"width":640,"height":480,"media_type":"image/png","created":1.5}'
    )
    assert SessionRecord.from_json(text) == record(name="", sha256="")


def test_a_flipped_bit_of_a_record_is_noticed():
    for line in flipped(record(name="photo.png").to_json()):
        with pytest.raises(StoreError):
            SessionRecord.from_json(line)


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
        '{"kind":"click","x":' + "9" * 400 + ',"y":0,"positive":true}',
        '{"kind":"click","x":true,"y":0,"positive":true}',
        '{"kind":"hide","object":"0"}',
        '{"kind":"network","network":"a","weights":"b","options":{"size":1}}',
        '{"kind":"network","network":"a","weights":"b","options":null}',
        "[" * 100_000,
        b"\xff",
        "3",
    ],
)
def test_what_is_no_event_is_refused(text):
    with pytest.raises(StoreError, match="expected an event"):
        Event.from_json(text)


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"id": "a"})])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(StoreError, match="expected the record"):
        SessionRecord.from_json(text)


def history(*events):
    return History.of(START, events)


def test_a_log_that_takes_back_what_is_not_there_is_damaged():
    with pytest.raises(StoreError, match="event 2 is undo"):
        history(Event("reset"), Event("undo"), Event("undo"))
    with pytest.raises(StoreError, match="redo"):
        history(Event("click", 1, 1), Event("redo"))
    for kind in ("select", "delete", "hide", "show"):
        with pytest.raises(StoreError, match=f"{kind} of object 1"):
            history(Event("click", 1, 1), Event(kind, object=1))


A, B, C, D = (Event("click", float(i), 0.0) for i in range(4))
UNDO, REDO, RESET, FINISH = Event("undo"), Event("redo"), Event("reset"), Event("finish", counts="x")


def test_what_a_log_comes_to():
    now = history(A, UNDO, REDO, B, UNDO, C, FINISH, A, B, RESET, B, C, D, UNDO, UNDO)
    assert {number: (one.clicks, one.counts) for number, one in now.objects.by_number.items()} == {
        0: ((A, C), "x"),
        1: ((B,), None),
    }
    assert now.objects.present == 1
    assert now.undone == (D, C)  # redo brings c back first
    # … and undo goes on over the reset and the finish
    for _ in range(2):
        now = now.after(UNDO)
    assert (now.objects.present, now.objects.unfinished.clicks) == (1, (A, B))
    for _ in range(3):
        now = now.after(UNDO)
    assert (now.objects.present, now.objects.unfinished.clicks, len(now.objects.by_number)) == (0, (A, C), 1)


def progress(events):
    """What a log came to in the version before objects could be chosen again, as it was written there."""
    finished, clicks, undone = [], [], []
    for event in events:
        if event.kind == "click":
            clicks.append(event)
            undone.clear()
        elif event.kind in ("undo", "redo"):
            source, target = (clicks, undone) if event.kind == "undo" else (undone, clicks)
            if not source:
                return None  # was refused, and is in no log
            target.append(source.pop())
        else:
            if event.kind == "finish":
                if not clicks:
                    return None
                finished.append((tuple(clicks), event.counts))
            clicks.clear()
            undone.clear()
    return finished, tuple(clicks), tuple(undone)


@given(st.lists(st.sampled_from([A, B, C, D, A, B, UNDO, UNDO, UNDO, REDO, REDO, RESET, FINISH]), max_size=60))
def test_logs_of_the_version_before_come_to_the_same(events):
    log = []
    for event in events:
        if progress([*log, event]) is not None:
            log.append(event)
    finished, clicks, undone = progress(log)
    now = History.of(START, [Event.from_json(event.to_json()) for event in log])
    objects = now.objects.by_number
    assert sorted(objects) == list(range(len(finished) + 1))
    assert [(objects[number].clicks, objects[number].counts) for number in range(len(finished))] == finished
    assert (now.objects.present, now.objects.unfinished.clicks) == (len(finished), clicks)
    assert now.undone == undone
    assert {(one.choice.network, one.hidden) for one in objects.values()} == {("lite0", False)}


@given(st.lists(st.sampled_from([*KINDS, "click", "click", "undo", "undo", "redo"]), max_size=60), st.randoms())
def test_a_log_step_by_step_comes_to_the_same_as_at_once(kinds, random):
    log, now = [], History.of(START, ())
    for number, kind in enumerate(kinds):
        objects = now.objects
        target = random.choice(sorted(objects.by_number))
        if (kind == "undo" and not now.actions) or (kind == "redo" and not now.undone):
            continue
        if (kind == "finish" and not objects.unfinished.clicks) or (kind == "select" and target == objects.present):
            continue
        choice = {"network": f"n{number}", "weights": "w", "options": OPTIONS} if kind == "network" else {}
        event = Event(kind, float(number), object=target, counts=str(number), **choice)
        log.append(event)
        now = now.after(event)
    at_once = History.of(START, log)
    assert (now.actions, now.undone) == (at_once.actions, at_once.undone)
    assert now.objects.by_number == at_once.objects.by_number
    assert (now.objects.present, now.objects.choice) == (at_once.objects.present, at_once.objects.choice)
    assert [number for number, one in now.objects.by_number.items() if one.counts is None] == [now.objects.present]
