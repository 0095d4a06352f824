"""Calls in any order, with crashes, evictions and replicas in between, next to the engine's session alone."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from starlette.testclient import TestClient

from mfp import Session
from mfp.engine.errors import MfpError
from mfp.engine.image import decode_image
from mfp.serve.app import create_app
from mfp.serve.service import LocalService
from mfp.serve.settings import API, Limits, Settings
from mfp.serve.stores.sqlite import SqliteStore

HEIGHT, WIDTH = 24, 32


def test_any_order_of_calls(toy, small):
    image = small(HEIGHT, WIDTH)

    class Calls(RuleBasedStateMachine):
        """Two servers over one store; the second has no room, so that each call there is a rebuild."""

        @initialize(flip=st.booleans(), threshold=st.sampled_from([0.3, 0.5]))
        def open(self, flip, threshold):
            self.folder = tempfile.TemporaryDirectory()
            self.clients = [self.start(memory) for memory in (10**9, 0)]
            options = {"flip": flip, "threshold": threshold, "size": WIDTH}
            answer = self.clients[0].post(f"{API}/sessions", content=image, params=options)
            self.url = f"{API}/sessions/{answer.json()['id']}"
            self.engine = Session(toy, decode_image(image), **options)
            self.revision = 0

        def start(self, memory):
            store = SqliteStore(Path(self.folder.name) / "sessions.sqlite")
            service = LocalService({"toy": toy}, store, Limits(memory=memory), 1)
            return TestClient(create_app(service, Settings(rate=0))).__enter__()

        @rule(which=st.integers(0, 1))
        def restart(self, which):
            self.clients[which].__exit__(None, None, None)
            self.clients[which] = self.start((10**9, 0)[which])

        @rule(
            which=st.integers(0, 1),
            kind=st.sampled_from(["click", "click", "click", "undo", "redo", "reset", "finish"]),
            x=st.floats(-1, WIDTH + 1),
            y=st.floats(0, HEIGHT - 0.5),
            positive=st.booleans(),
            revision=st.sampled_from([None, 0, 0, 0, -1, 1]),
        )
        def act(self, which, kind, x, y, positive, revision):
            body = {} if revision is None else {"revision": self.revision + revision}
            if kind == "click":
                body |= {"x": x, "y": y, "positive": positive}
            path = "clicks" if kind == "click" else kind
            answer = self.clients[which].post(f"{self.url}/{path}", json=body or None)
            if revision:
                assert (answer.status_code, answer.json()["error"]) == (409, "RevisionError")
                return
            error = self.engines(kind, x, y, positive)
            if error is not None:
                assert (answer.status_code, answer.json()["error"]) == (400 if kind == "click" else 409, error)
                return
            assert answer.status_code == 200, answer.text
            self.revision += 1
            reply = answer.json()
            assert reply["revision"] == self.revision
            assert reply["rle"] == self.engine.mask.to_rle()
            assert reply["roi"] == (None if self.engine.roi is None else list(self.engine.roi))

        def engines(self, kind, x, y, positive):
            """The same with the engine; returns the name of its error, if any."""
            try:
                if kind == "click":
                    self.engine.click(x, y, positive)
                else:
                    getattr(self.engine, kind)()
            except MfpError as error:
                return type(error).__name__
            return None

        @rule(which=st.integers(0, 1))
        def compare(self, which):
            state = self.clients[which].get(self.url).json()
            masks = [*self.engine.finished, self.engine.mask]
            assert [one["rle"] for one in state["objects"]] == [mask.to_rle() for mask in masks]
            assert [(one["x"], one["y"], one["positive"]) for one in state["objects"][-1]["clicks"]] == [
                (click.x, click.y, click.positive) for click in self.engine.clicks
            ]
            assert (state["revision"], state["can_undo"], state["can_redo"]) == (
                self.revision,
                self.engine.can_undo,
                self.engine.can_redo,
            )

        def teardown(self):
            for client in self.clients:
                client.__exit__(None, None, None)
            self.folder.cleanup()

    run_state_machine_as_test(Calls, settings=settings(max_examples=10, stateful_step_count=25, deadline=None))
