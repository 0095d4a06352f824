"""Live sessions over a store: rebuilt when evicted, fenced from replicas, thrown away when out of step."""

import io
import threading
from dataclasses import replace

import pytest

from mfp.engine.errors import ImageError, RevisionError, StoreError, UnavailableError, UnknownSessionError
from mfp.serve.events import Event
from mfp.serve.messages import SessionOptions
from mfp.serve.sessions import Sessions
from mfp.serve.settings import Limits
from mfp.serve.stores.sqlite import SqliteStore


@pytest.fixture
def open_sessions(tmp_path, toy):
    """``open_sessions(**limits)``: each one a replica, with a connection of its own to the same store."""
    opened = []

    def open_one(networks=None, **limits):
        store = SqliteStore(tmp_path / "sessions.sqlite")
        opened.append(Sessions(networks or {"toy": toy}, store, Limits(**limits)))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


QUICK = SessionOptions(size=48, flip=False)


def click(x, y=10, positive=True):
    return Event("click", x, y, positive)


def test_what_is_evicted_is_rebuilt_with_the_same_bits(open_sessions, small):
    roomy, tight = open_sessions(), open_sessions(memory=0)
    ids = [roomy.create(small(), options=QUICK).id for _ in range(3)]
    for event in (click(5), click(30), Event("finish"), click(40, 30), click(9, 9, False), Event("undo")):
        for id in ids:
            tight.act(id, event)
            assert tight.counts()["live"] == 1  # the newest one is always kept
    for id in ids:
        assert roomy.state(id) == tight.state(id)
        assert roomy.probability(id, "npy") == tight.probability(id, "npy")
        assert roomy.act(id, Event("redo")).timing["rebuild"] == 0
        assert tight.act(id, Event("undo")).timing["rebuild"] > 0
    assert roomy.counts()["live"] == 3


def test_a_photograph_that_would_be_refused_today_keeps_its_session(open_sessions, small, tmp_path):
    image = pytest.importorskip("PIL.Image")
    page, data = image.open(io.BytesIO(small())), io.BytesIO()
    page.save(data, "PNG", save_all=True, append_images=[page.rotate(180)])  # an animation: an older server took it
    sessions = open_sessions()
    with pytest.raises(ImageError, match="2 pages or frames"):
        sessions.create(data.getvalue(), options=QUICK)
    id = sessions.create(small(), options=QUICK).id
    sessions.act(id, click(5))
    store = SqliteStore(tmp_path / "sessions.sqlite")
    store.create(replace(store.record(id), id="old"), data.getvalue())
    store.close()
    sessions.act("old", click(5))
    assert sessions.probability("old", "npy") == sessions.probability(id, "npy")


def test_a_replica_takes_over(open_sessions, small):
    first, second = open_sessions(), open_sessions()
    id = first.create(small(), options=QUICK).id
    for number, replica in enumerate((first, first, second, first, second)):
        reply = replica.act(id, click(5.0 + number), number)
        assert (reply.revision, len(reply.clicks)) == (number + 1, number + 1)
    assert first.state(id) == second.state(id)
    with pytest.raises(RevisionError):
        first.act(id, click(1), 3)


def test_of_two_replicas_that_click_at_once_none_loses(open_sessions, small):
    replicas = [open_sessions() for _ in range(3)]
    id = replicas[0].create(small(), options=QUICK).id
    replies, refused = [], []

    def work(replica, number):
        for x in range(5):
            try:
                replies.append(replica.act(id, click(number + x / 8)))
            except RevisionError:  # thrice in a row another one was quicker
                refused.append(number + x / 8)

    threads = [threading.Thread(target=work, args=(replica, 10 * number)) for number, replica in enumerate(replicas)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acknowledged = sorted(reply.clicks[-1].x for reply in replies)
    state = open_sessions().state(id)
    assert sorted(one.x for one in state.objects[0].clicks) == acknowledged
    assert len(acknowledged) + len(refused) == 15
    assert sorted(reply.revision for reply in replies) == list(range(1, len(replies) + 1))


def test_an_event_that_is_not_kept_did_not_happen(open_sessions, small, monkeypatch):
    sessions = open_sessions()
    id = sessions.create(small(), options=QUICK).id
    before = sessions.act(id, click(20))

    def fail(*_):
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:  # a full disk is hard to have
        patch.setattr(SqliteStore, "append", fail)
        for event in (click(5), Event("undo"), Event("finish")):
            with pytest.raises(StoreError, match="full"):
                sessions.act(id, event)
    state = sessions.state(id)
    assert (state.revision, state.objects[-1].rle, len(state.objects)) == (1, before.rle, 1)


def test_a_failing_network_leaves_no_event(open_sessions, small, toy, monkeypatch):
    sessions = open_sessions()
    id = sessions.create(small(), options=QUICK).id
    before = sessions.act(id, click(20))
    with monkeypatch.context() as patch:

        def fail(*_):
            raise MemoryError

        patch.setattr(type(toy), "__call__", fail)
        with pytest.raises(MemoryError):
            sessions.act(id, click(5))
    after = sessions.act(id, click(5))
    assert (before.revision, after.revision) == (1, 2)
    assert len(after.clicks) == 2


def test_another_network_of_the_name_is_refused(open_sessions, small, toy, lite0):
    id = open_sessions().create(small(), options=QUICK).id
    for networks in ({"toy": lite0}, {"lite0": lite0}):
        with pytest.raises(UnavailableError, match="made with the network 'toy'"):
            open_sessions(networks).state(id)


def test_deleted_elsewhere(open_sessions, small):
    first, second = open_sessions(), open_sessions()
    id = first.create(small(), options=QUICK).id
    second.delete(id)
    for call in (first.state, first.mask, first.coco, first.image, first.delete):
        with pytest.raises(UnknownSessionError):
            call(id)
    with pytest.raises(UnknownSessionError):
        first.act(id, click(1))
    assert first.counts() == {"live": 0, "bytes": 0, "stored": 0}


def test_expired_sessions_leave_memory(open_sessions, small):
    sessions = open_sessions()
    id = sessions.create(small(), options=QUICK).id
    assert sessions.expire(1000) == 0
    assert sessions.expire(-1) == 1
    assert sessions.counts() == {"live": 0, "bytes": 0, "stored": 0}
    with pytest.raises(UnknownSessionError):
        sessions.state(id)
