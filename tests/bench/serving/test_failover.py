"""Twenty people click on a server on Ray, a replica is killed, all are replaced: what was acknowledged is there."""

import sys

import pytest

pytest.importorskip("ray")
pytest.importorskip("fastapi")

from mfp.bench.serving import failover
from mfp.bench.serving.clients import UNCERTAIN
from mfp.engine.errors import MfpError
from mfp.serve.cluster.settings import ClusterSettings
from mfp.serve.stores import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own
]
CLIENTS = 20


def test_no_acknowledged_event_is_lost(redis_url):
    settings = ClusterSettings(store=redis_url, device="cpu", min_replicas=2, http={"rate": 0})
    with failover.server(settings) as (port, update):
        found = failover.measure(settings, port, update, CLIENTS, pause=1.0, seconds=8.0)
    assert found["lost"] == 0
    assert found["masks_compared"] == CLIENTS
    assert found["acknowledged"] >= sum(len(phase["ms"]) for phase in found["phases"]) > 3 * CLIENTS
    assert all(phase["ms"] for phase in found["phases"])
    assert set(found["troubles"]) <= {str(status) for status in UNCERTAIN}
    record = {"kind": failover.KIND, "schema": failover.SCHEMA, **found}
    table = failover.report(record)
    assert [line.split("|")[1].strip() for line in table[2:5]] == [phase["phase"] for phase in found["phases"]]
    store = open_store(redis_url)
    assert store.count() == CLIENTS
    store.close()


def test_the_check_finds_what_is_lost(tmp_path):
    """Without Ray: a log that lacks an event, and a mask that is another."""
    from mfp.bench.serving.clients import Acknowledged, Client
    from mfp.engine.sample import PATH
    from mfp.serve.events import Event
    from mfp.serve.sessions.manager import Sessions
    from mfp.serve.sessions.networks import load_networks

    settings = ClusterSettings(store=f"sqlite:///{tmp_path / 'sessions'}", device="cpu")
    sessions = Sessions(load_networks(["lite0"], device="cpu"), open_store(settings.store))
    id = sessions.create(PATH.read_bytes()).id
    events = [Event("click", 120.0, 330.0), Event("click", 400.0, 430.0, False)]
    taken = [Acknowledged(event, sessions.act(id, event).rle.counts, 0.0, 1.0) for event in events]
    sessions.close()
    assert failover.check(settings, [Client("", 0, 0, 0.0, id=id, taken=taken)])["acknowledged"] == 2
    for wrong, message in (
        (taken[:1], "was told of 1 events, the log has others"),
        ([*taken, taken[0]], "was told of 3 events, the log has others"),
        ([taken[0], Acknowledged(events[1], taken[0].counts, 0.0, 1.0)], "the mask of its log is not the one"),
    ):
        with pytest.raises(MfpError, match=message):
            failover.check(settings, [Client("", 0, 0, 0.0, id=id, taken=wrong)])
