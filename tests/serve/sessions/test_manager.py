"""Live sessions over a store: rebuilt when evicted, fenced from replicas, thrown away when out of step."""

import io
import json
import sqlite3
import threading
from dataclasses import replace

import cv2
import pytest

from mfp.engine.errors import ImageError
from mfp.engine.image import decode_image
from mfp.serve.errors import RevisionError, StoreError, UnavailableError, UnknownSessionError
from mfp.serve.events import Event
from mfp.serve.schemas import SessionOptions
from mfp.serve.sessions.manager import Sessions
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

    open_one.path = tmp_path / "sessions.sqlite"
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
    store.create(replace(store.record(id), id="old", sha256=""), data.getvalue())  # as older servers did
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
    first = open_sessions()
    id = first.create(small(), options=QUICK).id
    empty = first.state(id)
    for networks in ({"toy": lite0}, {"lite0": lite0}):
        assert open_sessions(networks).state(id) == empty  # nothing is computed for that
        with pytest.raises(UnavailableError, match="made with the network 'toy'"):
            open_sessions(networks).act(id, click(5))
    first.act(id, click(5))
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


class TestDamage:
    """Of what is stored. The server's fault (5xx), said in words, and never another mask."""

    @pytest.fixture
    def stored(self, open_sessions, small, tmp_path):
        """``stored(image=…)``: a session with a finished object and a click, and a way to change its rows."""

        def make(image=None):
            sessions = open_sessions()
            id = sessions.create(image or small(), options=QUICK).id
            for event in (click(5), Event("finish"), click(30)):
                sessions.act(id, event)
            return id, lambda sql, *values: change(tmp_path / "sessions.sqlite", sql, *values)

        def change(path, sql, *values):
            with sqlite3.connect(path) as connection:
                assert connection.execute(sql, values).rowcount == 1
            connection.close()

        return make

    @pytest.mark.parametrize("form", [".png", ".bmp", ".jpg"])
    def test_a_photograph_with_a_flipped_bit(self, open_sessions, stored, small, form):
        image = cv2.imencode(form, decode_image(small()))[1].tobytes()
        id, change = stored(image)
        before = open_sessions().state(id)
        place = len(image) * 2 // 3  # among the pixels: BMP and JPEG still decode
        damaged = image[:place] + bytes([image[place] ^ 4]) + image[place + 1 :]
        change("UPDATE images SET data = ?", damaged)
        sessions = open_sessions()
        for call in (
            sessions.state,
            sessions.image,
            sessions.coco,
            sessions.mask,
            lambda id: sessions.act(id, click(3)),
        ):
            with pytest.raises(StoreError, match="the stored photograph is damaged"):
                call(id)
        change("UPDATE images SET data = ?", image)
        assert sessions.state(id) == before

    @pytest.mark.parametrize("image", [b"", b"nothing", "text", None])
    def test_a_photograph_of_a_version_without_checksums(self, open_sessions, stored, small, image):
        id, change = stored()
        fields = json.loads(SqliteStore(open_sessions.path).record(id).to_json())
        old = {name: value for name, value in fields.items() if name not in ("name", "sha256", "check")}
        change("UPDATE sessions SET record = ?", json.dumps(old))
        sessions = open_sessions()
        assert sessions.state(id).revision == 3  # it goes on
        assert sessions.image(id).data == small()
        change("UPDATE images SET data = ?", image if image is not None else small(41, 56))
        with pytest.raises(StoreError, match="the stored photograph is damaged"):
            open_sessions().state(id)

    @pytest.mark.parametrize(
        ("sql", "values"),
        [
            ("UPDATE events SET event = replace(event, '30', '31') WHERE revision = 2", ()),
            ("UPDATE events SET event = replace(event, 'true', 'false') WHERE revision = 0", ()),
            ("UPDATE events SET event = replace(event, 'counts\":\"', 'counts\":\"1') WHERE revision = 1", ()),
            ("UPDATE events SET event = '' WHERE revision = 1", ()),
            ("UPDATE events SET event = CAST(? AS TEXT) WHERE revision = 1", (b'{"kind":"\xff"}',)),
            ("DELETE FROM events WHERE revision = 1", ()),
            ("DELETE FROM events WHERE revision = 2", ()),
            ("UPDATE events SET revision = 7 WHERE revision = 2", ()),
            ("UPDATE sessions SET revision = 2", ()),
            ("UPDATE sessions SET record = replace(record, '0.5', '0.7')", ()),
            ("UPDATE sessions SET record = replace(record, 'false', 'true')", ()),
            ("UPDATE sessions SET record = ''", ()),
            # Of a version without checksums: what can be seen is seen.
            ("UPDATE events SET event = ? WHERE revision = 1", ('{"kind":"finish","counts":"damaged"}',)),
            ("UPDATE events SET event = ? WHERE revision = 2", ('{"kind":"click","x":900,"y":1,"positive":true}',)),
            ("UPDATE events SET event = ? WHERE revision = 0", ('{"kind":"undo"}',)),
            ("UPDATE events SET event = x'00' WHERE revision = 0", ()),
            ("UPDATE events SET event = ? WHERE revision = 0", ('{"kind":"reset","options":null}',)),
            ("UPDATE sessions SET record = json_set(record, '$.check', NULL, '$.options.flip', 3, '$.width', 55)", ()),
            ("UPDATE sessions SET record = json_remove(record, '$.check', '$.options.r_max')", ()),
        ],
    )
    def test_rows_that_are_not_what_was_written(self, open_sessions, stored, sql, values):
        id, change = stored()
        change(sql, *values)
        sessions = open_sessions()
        with pytest.raises(StoreError):
            sessions.state(id)

    def test_it_is_the_servers_fault(self, open_client, small):
        with open_client() as client:
            id = client.post("/api/v1/sessions?size=48", content=small()).json()["id"]
            client.post(f"/api/v1/sessions/{id}/clicks", json={"x": 3, "y": 3})
            store = client.app.state.desk.service.sessions._store
            for sql in ("UPDATE images SET data = x'00'", "UPDATE events SET event = '{}'"):
                store._connection.execute(sql)
        with open_client() as client:
            for path in ("", "/coco", "/mask", "/image"):
                answer = client.get(f"/api/v1/sessions/{id}{path}")
                assert (answer.status_code, answer.json()["error"]) == (503, "StoreError")

    def test_an_event_beside_a_damaged_mask_is_refused_before_it_is_kept(self, open_sessions, stored):
        id, change = stored()
        change("UPDATE events SET event = ? WHERE revision = 1", '{"kind":"finish","counts":"damaged"}')
        sessions = open_sessions()
        for event in (Event("hide", object=0), Event("finish"), Event("delete", object=1)):
            with pytest.raises(StoreError, match="the mask of a finished object is damaged"):
                sessions.act(id, event)
        assert sessions.act(id, click(9), 3).revision == 4
        assert sessions.act(id, Event("delete", object=0)).revision == 5  # so the rest is at hand again
        assert [one.object for one in sessions.state(id).objects] == [1]
