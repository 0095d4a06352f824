"""Calls in any order, with crashes, evictions and replicas in between, next to a reference that keeps copies."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from starlette.testclient import TestClient

from mfp.engine.image import decode_image
from mfp.serve.http.app import create_app
from mfp.serve.sessions.service import LocalService
from mfp.serve.settings import API, Limits, Settings
from mfp.serve.stores.sqlite import SqliteStore

HEIGHT, WIDTH = 24, 32
KINDS = ["click"] * 6 + ["undo"] * 3 + ["redo"] * 2 + ["reset", "finish", "finish", "network"]
OF_AN_OBJECT = ["select", "select", "delete", "hide", "show"]
ERRORS = {
    400: {"ClickError", "OptionError"},
    404: {"UnknownSessionError"},
    409: {"SessionError", "NothingToUndoError"},
}


def test_any_order_of_calls(toy, small, variant, reference):
    image = small(HEIGHT, WIDTH)
    networks = {"toy": toy, "other": variant("other", n_early=1, r_max=9.0), "fixed": variant("fixed", (HEIGHT, WIDTH))}

    class Calls(RuleBasedStateMachine):
        """Two servers over one store; the second has no room, so that each call there is a rebuild."""

        @initialize(
            flip=st.booleans(),
            threshold=st.sampled_from([0.3, 0.5]),
            own=st.sampled_from([{"size": WIDTH}, {"size": WIDTH, "n_early": 2}, {"size": 40, "r_max": 30.0}]),
        )
        def open(self, flip, threshold, own):
            self.folder = tempfile.TemporaryDirectory()
            self.clients = [self.start(memory) for memory in (10**9, 0)]
            options = {"flip": flip, "threshold": threshold} | own
            answer = self.clients[0].post(f"{API}/sessions", content=image, params=options)
            self.url = f"{API}/sessions/{answer.json()['id']}"
            self.reference = reference(networks, decode_image(image), "toy", **options)
            self.revision = 0

        def start(self, memory):
            store = SqliteStore(Path(self.folder.name) / "sessions.sqlite")
            service = LocalService(networks, store, Limits(memory=memory), 1)
            return TestClient(create_app(service, Settings(rate=0))).__enter__()

        @rule(which=st.sampled_from([0, 1, *[None] * 6]))  # seldom, as an application takes long to make
        def restart(self, which):
            if which is None:
                return
            self.clients[which].__exit__(None, None, None)
            self.clients[which] = self.start((10**9, 0)[which])

        @rule(
            which=st.integers(0, 1),
            kind=st.sampled_from(KINDS),
            x=st.floats(-1, WIDTH + 1),
            y=st.floats(0, HEIGHT - 0.5),
            positive=st.booleans(),
            network=st.sampled_from(["toy", "toy", "other", "other", "other", "fixed", "none"]),
            revision=st.sampled_from([None, 0, 0, 0, 0, 0, -1, 1]),
        )
        def act(self, which, kind, x, y, positive, network, revision):
            body = {"x": x, "y": y, "positive": positive} if kind == "click" else {}
            body |= {"network": network} if kind == "network" else {}
            self.call(which, kind, revision, body)

        @rule(
            which=st.integers(0, 1),
            kind=st.sampled_from(OF_AN_OBJECT),
            number=st.integers(0, 9),
            revision=st.sampled_from([None, 0, 0, 0, 0, 0, -1, 1]),
        )
        def act_on_an_object(self, which, kind, number, revision):
            numbers = sorted(self.reference.objects)
            # Most are there; those that are not were deleted, or never were.
            number = numbers[number % len(numbers)] if number < 8 else number
            self.call(which, kind, revision, {"object": number})

        def call(self, which, kind, revision, body):
            sent = body | ({} if revision is None else {"revision": self.revision + revision})
            path = "clicks" if kind == "click" else kind
            answer = self.clients[which].post(f"{self.url}/{path}", json=sent or None)
            if revision:
                assert (answer.status_code, answer.json()["error"]) == (409, "RevisionError")
                return
            before = self.reference.everything()
            status = self.reference.do(kind, **body)
            if status is not None:
                assert answer.status_code == status, answer.text
                assert answer.json()["error"] in ERRORS[status]
                return
            assert answer.status_code == 200, answer.text
            self.revision += 1
            reply, now = answer.json(), self.reference
            rle, roi = now.mask(now.present)
            assert (reply["revision"], reply["object"], reply["network"]) == (self.revision, now.present, now.choice[0])
            assert (reply["rle"], reply["roi"]) == (rle, roi)
            assert (reply["can_undo"], reply["can_redo"]) == (bool(now.past), bool(now.future))
            if reply["objects"] is not None:
                now.check(reply | {"present": reply["object"]})
            else:  # then nothing has changed but clicks of the present object
                after = now.everything()
                for one in (before, after):
                    one["objects"][now.present]["clicks"] = None
                assert before == after

        @rule(which=st.integers(0, 1))
        def compare(self, which):
            state = self.clients[which].get(self.url).json()
            assert state["revision"] == self.revision
            self.reference.check(state)

        def teardown(self):
            for client in self.clients:
                client.__exit__(None, None, None)
            self.folder.cleanup()

    run_state_machine_as_test(Calls, settings=settings(max_examples=15, stateful_step_count=35, deadline=None))
