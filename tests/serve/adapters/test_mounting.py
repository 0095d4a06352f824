"""The adapters in the server: their addresses, its limits, and the token as each tool brings it."""

import base64
import threading

import pytest
from starlette.testclient import TestClient

from mfp.engine.network import Network
from mfp.serve.adapters import mounting
from mfp.serve.adapters.label_studio_images import Source
from mfp.serve.http.app import create_app
from mfp.serve.sessions.service import LocalService
from mfp.serve.settings import Limits, Settings
from mfp.serve.stores.sqlite import SqliteStore

TOKEN = "a-token-of-ours"


@pytest.fixture
def client(tmp_path, toy):
    networks, limits = {"toy": toy}, Limits(image_pixels=40 * 40)
    service = LocalService(networks, SqliteStore(tmp_path / "sessions.sqlite"), limits, 2)
    tools = mounting.routers(networks, limits, Source())
    with TestClient(create_app(service, Settings(token=TOKEN, rate=0), tools)) as made:
        yield made


def basic(password):
    return {"Authorization": "Basic " + base64.b64encode(f"label-studio:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/x-anylabeling/v1/models", lambda token: {"Token": token}),
        ("/label-studio/health", basic),
        ("/label-studio/", basic),
    ],
)
def test_each_tool_brings_the_token_its_way(client, path, headers):
    assert client.get(path, headers=headers(TOKEN)).status_code == 200
    assert client.get(path, headers=headers("another-token")).status_code == 401
    assert client.get(path).status_code == 401


def test_photographs_above_the_limit_are_refused(client, small):
    def send(image):
        marks = [{"type": "point", "data": [5, 5], "label": 1}]
        body = {"model": "toy", "image": base64.b64encode(image).decode(), "params": {"marks": marks}}
        return client.post("/x-anylabeling/v1/predict", json=body, headers={"Token": TOKEN})

    assert send(small(40, 40)).status_code == 200
    reply = send(small(40, 41))
    assert reply.status_code == 413
    assert "at most" in reply.json()["error"]["message"]


def test_the_description_names_them(client):
    paths = client.get("/openapi.json", headers={"Token": TOKEN}).json()["paths"]
    assert {"/x-anylabeling/v1/predict", "/label-studio/predict"} <= set(paths)


class Threads(Network):
    """A network that notes the threads of its passes."""

    def __init__(self, inner):
        self.inner, self.names = inner, []
        self.info, self.runtime, self.device = inner.info, inner.runtime, inner.device

    def __call__(self, *tensors):
        self.names.append(threading.current_thread().name)
        return self.inner(*tensors)


def test_passes_take_turns_with_the_clicks_of_sessions(tmp_path, toy, small):
    networks = {"toy": Threads(toy)}
    service = LocalService(networks, SqliteStore(tmp_path / "sessions.sqlite"), Limits(waiting=1), 1)
    tools = mounting.routers(networks, Limits(), Source(), service)
    mark = {"type": "point", "data": [5, 5], "label": 1}
    image = base64.b64encode(small()).decode()
    body = {"model": "toy", "image": image, "params": {"marks": [mark]}}
    with TestClient(create_app(service, Settings(rate=0), tools)) as client:
        reply = client.post("/x-anylabeling/v1/predict", json=body)
        assert (reply.status_code, reply.json()["success"]) == (200, True)
        assert networks["toy"].names
        assert {name.rpartition("_")[0] for name in networks["toy"].names} == {"click"}
        client.portal.call(service._turns.close)
        reply = client.post("/x-anylabeling/v1/predict", json={**body, "params": {"marks": [mark, mark]}})
        assert (reply.status_code, reply.json()["success"]) == (503, False)


def test_the_log_has_the_words_that_a_tool_does_not_show(client, small, caplog):
    caplog.set_level("INFO", "mfp.serve")
    image = base64.b64encode(small()).decode()
    params = {"marks": [{"type": "rectangle", "data": [1, 2, 3, 4], "label": 1}]}
    body = {"model": "toy", "image": image, "params": params}
    assert client.post("/x-anylabeling/v1/predict", json=body, headers={"Token": TOKEN}).status_code == 400
    (line,) = (record.fields for record in caplog.records if record.getMessage() == "request")
    assert line["message"] == "MFP takes points, not rectangles: add a point inside the object"
