"""Label Studio's ML backend, asked as Label Studio asks.

Requests: label_studio/ml/api_connector.py of Label Studio 1.23, and the context of a smart keypoint as in
label_studio_ml/examples/segment_anything_model of label-studio-ml-backend (commit d02cedf). Replies: there too, and
label_studio_sdk/converter/brush.py for the brush's run lengths.
"""

import base64
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mfp import Mask
from mfp.engine.errors import ImageError, OptionError
from mfp.serve.adapters import label_studio
from mfp.serve.adapters.brush_rle import brush_rle
from mfp.serve.adapters.label_studio_images import Images, Source
from mfp.serve.errors import TooLargeError

CONFIG = """<View>
  <!-- a comment -->
  <Image name="picture" value="$photo" zoom="true"/>
  <BrushLabels name="brush" toName="picture"><Label value="Cat"/><Label value="Dog"/></BrushLabels>
  <KeyPointLabels name="point" toName="picture" smart="true"><Label value="Cat"/><Label value="Dog"/></KeyPointLabels>
</View>"""


@pytest.fixture
def client(replay):
    app = FastAPI()
    app.include_router(label_studio.router({"lite0": replay}, Source()))
    return TestClient(app)


def keypoint(x, y, positive=True, side=512, **changes):
    return {
        "original_width": side,
        "original_height": side,
        "image_rotation": 0,
        "value": {"x": 100 * x / side, "y": 100 * y / side, "width": 0.3, "labels": ["Cat"], "keypointlabels": ["Cat"]},
        "is_positive": positive,
        "id": "fBWv1t0S2L",
        "from_name": "point",
        "to_name": "picture",
        "type": "keypointlabels",
        "origin": "manual",
        **changes,
    }


@pytest.fixture
def predict(client, sample):
    """``predict(result, **changes)``: Label Studio's request with these regions as context."""

    def send(result, **changes):
        uri = "data:image/jpeg;base64," + base64.b64encode(sample).decode()
        request = {
            "tasks": [{"id": 1, "data": {"photo": uri}, "annotations": [], "drafts": [], "predictions": []}],
            "project": "1.1763890000",
            "label_config": CONFIG,
            "params": {"login": None, "password": None, "context": None if result is None else {"result": result}},
        }
        return client.post("/predict", json=request | changes)

    return send


def unpacked(rle):
    """The bytes of a brush's run lengths, read bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    at = 0

    def read(count):
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    length, width = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    found = []
    while len(found) < length:
        is_run, count = read(1), read(sizes[read(2)]) + 1
        found += [read(width)] * count if is_run else [read(width) for _ in range(count)]
    assert len(bits) - at < 8
    return found


def test_the_brush_of_the_keypoints(predict, clicks, mask_of, network):
    for count in range(1, len(clicks) + 1):
        reply = predict([keypoint(x, y, positive) for x, y, positive in clicks[:count]])
        assert network.passes == count + 1
    assert reply.status_code == 200
    (prediction,) = reply.json()["results"]
    assert prediction["model_version"] == "mfp-lite0"
    assert 0 < prediction["score"] <= 1
    (region,) = prediction["result"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("brush", "picture", "brushlabels")
    assert (region["original_width"], region["original_height"], region["image_rotation"]) == (512, 512, 0)
    assert region["value"]["format"] == "rle"
    assert region["value"]["brushlabels"] == ["Cat"]
    channels = np.array(unpacked(region["value"]["rle"]), np.uint8).reshape(512, 512, 4)
    np.testing.assert_array_equal(channels, mask_of(clicks).array[:, :, None] * np.full(4, 255, np.uint8))


def test_what_else_label_studio_asks_for(client):
    assert client.get("/health").json()["status"] == "UP"
    setup = {"project": "1.1", "schema": CONFIG, "hostname": "http://example.org", "access_token": "t"}
    assert client.post("/setup", json=setup | {"extra_params": None}).json() == {"model_version": "mfp-lite0"}
    assert client.get("/versions").json() == {"versions": ["mfp-lite0"]}
    for path in ("/webhook", "/train"):
        assert client.post(path, json={"action": "START_TRAINING"}).status_code == 200


def test_before_anybody_has_clicked(predict, network):
    for context in (None, []):
        assert predict(context).json() == {"results": []}
    assert network.passes == 0


def test_the_far_edge_belongs_to_the_image(predict):
    assert predict([keypoint(512, 512)]).status_code == 200
    assert predict([keypoint(513, 0)]).status_code == 400


@pytest.mark.parametrize(
    ("regions", "changes", "words"),
    [
        ([keypoint(9, 9, type="rectanglelabels")], {}, "smart keypoints"),
        ([keypoint(9, 9, image_rotation=90)], {}, "turned"),
        ([keypoint(9, 9, value={"x": "left"})], {}, "percent"),
        ([keypoint(9, 9, value=None)], {}, "percent"),
        ([keypoint(9, 9, positive="false")], {}, "true or false, got 'false'"),
        ([keypoint(9, 9, positive=None)], {}, "true or false, got None"),
        ([keypoint(9, 9, value={"x": 1, "y": 1})], {}, "label"),
        ([keypoint(9, 9)], {"tasks": []}, "one task"),
        ([keypoint(9, 9)], {"tasks": [{"id": 1, "data": {"text": "a"}}]}, "'photo'"),
        ([keypoint(9, 9)], {"tasks": [{"id": 1, "data": {"photo": 5}}]}, "URL"),
        ([keypoint(9, 9)], {"tasks": [{"id": 1, "data": {"photo": "data:image/png;base64,AAAA"}}]}, "no image"),
        ([keypoint(9, 9)], {"label_config": "<View>"}, "XML"),
        ([keypoint(9, 9)], {"label_config": "<View/>"}, "BrushLabels"),
        ([keypoint(9, 9)], {"label_config": '<!DOCTYPE v [<!ENTITY a "b">]><View>&a;</View>'}, "DOCTYPE"),
    ],
)
def test_what_is_refused(predict, regions, changes, words):
    reply = predict(regions, **changes)
    assert reply.status_code == 400
    assert words in reply.json()["message"]


def test_a_request_of_another_shape_is_no_server_error(client):
    for body in ({"tasks": "all"}, {"params": {"context": {"result": "x"}}}, [], "text"):
        assert client.post("/predict", json=body).status_code == 422


@pytest.mark.parametrize("first", [True, False])
def test_run_lengths_of_any_mask(first):
    random = np.random.default_rng(0)
    for height, width, share in ((7, 9, 0.5), (1, 1, 0.5), (40, 60, 0.02), (300, 400, 0.0)):
        array = random.random((height, width)) < share
        array[0, 0] = first
        found = np.array(unpacked(brush_rle(Mask(array)))).reshape(height, width, 4)
        np.testing.assert_array_equal(found, array[:, :, None] * np.full(4, 255))


def test_run_lengths_as_label_studio_writes_them():
    """What its own converter (brush.mask2rle) made of this mask."""
    array = np.zeros((4, 9), bool)
    array[1:3, 2:6] = True
    packed = [0, 0, 0, 144, 57, 27, 254, 43, 0, 191, 255, 132, 192, 47, 255, 226, 240, 0]
    assert brush_rle(Mask(array)) == packed


class Server(BaseHTTPRequestHandler):
    """Files as Label Studio serves them: to those who bring its token."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "/data/upload/1/a.jpg")
            self.end_headers()
        elif self.headers.get("Authorization") not in self.server.accepted:
            self.send_error(401)
        elif self.path == "/data/upload/1/a.jpg":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"photograph")
        else:
            self.send_error(404)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, asked))
        if (self.path, asked) != ("/api/token/refresh", {"refresh": "a.b.c"}):
            self.send_error(401)
            return
        self.server.exchanged += 1
        self.server.accepted = {f"Bearer {self.server.exchanged}"}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"access": str(self.server.exchanged)}).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    made.asked, made.accepted, made.exchanged = [], {"Token secret"}, 0
    made.url = f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_images_on_label_studios_server(server):
    images = Images(Source(server.url, "secret"))
    for address in ("/data/upload/1/a.jpg", f"{server.url}/data/upload/1/a.jpg"):
        assert images.read(address) == b"photograph"
    with pytest.raises(ImageError, match="404"):
        images.read("/data/upload/1/b.jpg")
    with pytest.raises(ImageError, match=r"401.*LABEL_STUDIO_API_KEY"):
        Images(Source(server.url, "wrong")).read("/data/upload/1/a.jpg")
    with pytest.raises(TooLargeError, match="at most 5 bytes"):
        Images(Source(server.url, "secret", max_bytes=5)).read("/data/upload/1/a.jpg")


def test_a_personal_token_is_exchanged_and_again_when_it_is_old(server):
    images = Images(Source(server.url, "a.b.c"))
    for _ in range(3):
        assert images.read("/data/upload/1/a.jpg") == b"photograph"
    assert server.exchanged == 1
    server.accepted = set()
    assert images.read("/data/upload/1/a.jpg") == b"photograph"
    assert server.exchanged == 2
    with pytest.raises(ImageError, match="401"):
        Images(Source(server.url, "x.y.z")).read("/data/upload/1/a.jpg")


def test_a_redirect_is_not_followed(server):
    with pytest.raises(ImageError, match=r"302.*not followed"):
        Images(Source(server.url, "secret")).read("/away")
    assert [path for path, _ in server.asked] == ["/away"]


class Anything(BaseHTTPRequestHandler):
    """Gives every path, and notes it as it came over the wire."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"photograph")

    def do_POST(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"access": "exchanged"}')

    def log_message(self, *arguments):
        pass


@pytest.fixture
def anything(server):
    server.RequestHandlerClass = Anything
    return server


NAMES = {
    "/data/upload/1/plain.jpg": "/data/upload/1/plain.jpg",
    "/data/upload/1/my photo.jpg": "/data/upload/1/my%20photo.jpg",
    "/data/upload/1/my%20photo.jpg": "/data/upload/1/my%20photo.jpg",
    "/data/upload/1/größe 1.jpg": "/data/upload/1/gr%C3%B6%C3%9Fe%201.jpg",
    "/data/upload/1/gr%C3%B6%c3%9fe.jpg": "/data/upload/1/gr%C3%B6%c3%9fe.jpg",
    "/data/upload/1/写真.jpg": "/data/upload/1/%E5%86%99%E7%9C%9F.jpg",
    "/data/upload/1/🐈.jpg": "/data/upload/1/%F0%9F%90%88.jpg",
    "/data/upload/1/100% sure.jpg": "/data/upload/1/100%25%20sure.jpg",
    "/data/upload/1/5%.jpg": "/data/upload/1/5%25.jpg",
    "/data/upload/1/a#b.jpg": "/data/upload/1/a%23b.jpg",
    "/data/upload/1/a%23b.jpg": "/data/upload/1/a%23b.jpg",
    '/data/upload/1/it\'s "so" <b> {c} |d| ^e` \\f.jpg': (
        "/data/upload/1/it's%20%22so%22%20%3Cb%3E%20%7Bc%7D%20%7Cd%7C%20%5Ee%60%20%5Cf.jpg"
    ),
    "/data/upload/1/(1) [2] ~3!,;:@&=+$*.jpg": "/data/upload/1/(1)%20[2]%20~3!,;:@&=+$*.jpg",
    "/data/local-files/?d=my folder/ä.jpg": "/data/local-files/?d=my%20folder/%C3%A4.jpg",
    "/data/local-files/?d=my%20folder/a.jpg&t=1": "/data/local-files/?d=my%20folder/a.jpg&t=1",
    " /data/upload/1/a.jpg ": "/data/upload/1/a.jpg",
    "/data/upload/1/\ud800.jpg": "/data/upload/1/%ED%A0%80.jpg",
}


@pytest.mark.parametrize("base", ["", "/studio", "/tools/my studio/"])
@pytest.mark.parametrize("name", NAMES)
def test_names_as_people_see_them(anything, base, name):
    """… are asked for percent-encoded, once; and below the path that Label Studio lies at."""
    base_encoded = base.rstrip("/").replace(" ", "%20")
    images = Images(Source(anything.url + base, "secret"))
    addresses = [name, f"{anything.url}{base.rstrip('/')}{name.strip()}"]
    addresses += [base.rstrip("/") + name.strip()] if base else []
    for address in addresses:
        assert images.read(address) == b"photograph"
    if base:  # with blanks in it: as the server's own path begins with it, encoded or not
        assert images.read(f"{base_encoded}{name.strip()}") == b"photograph"
    assert set(anything.asked) == {base_encoded + NAMES[name]}


@pytest.mark.parametrize("base", ["", "/studio", "/studio/"])
def test_a_token_is_exchanged_below_label_studios_path(anything, base):
    Images(Source(anything.url + base, "a.b.c")).read("/data/upload/1/a.jpg")
    below = base.rstrip("/")
    assert anything.asked == [f"{below}/api/token/refresh", f"{below}/data/upload/1/a.jpg"]


@pytest.mark.parametrize("written", ["http://LOCALHOST:{port}/a.jpg", "HTTP://localhost:{port}/a.jpg"])
def test_one_server_written_otherwise(anything, written):
    images = Images(Source(f"http://localhost:{anything.server_port}", "secret"))
    assert images.read(written.format(port=anything.server_port)) == b"photograph"


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_answers_that_are_no_http(answer):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ImageError, match=r"cannot fetch http://127\.0\.0\.1:\d+/a\.jpg: \S"):
            Images(Source(f"http://127.0.0.1:{listening.getsockname()[1]}", "secret")).read("/a.jpg")
        thread.join()


@pytest.mark.parametrize("token", ["größe", "two words", "a\nb"])
def test_a_token_that_is_none(token):
    with pytest.raises(OptionError, match="LABEL_STUDIO_API_KEY"):
        Images(Source("http://127.0.0.1:1", token))


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "https://{host}/data/upload/1/a.jpg",
        "//example.org/a.jpg",
        "/\n/example.org/a.jpg",
        " //example.org/a.jpg",
        "file:///etc/passwd",
        "ftp://{host}/a.jpg",
        "s3://bucket/a.jpg",
        "data/upload/1/a.jpg",
        "/etc/passwd",
        "http://user@{host}/data/upload/1/a.jpg",
        "http://{host}@example.org/a.jpg",
        "http://{host}\\@example.org/a.jpg",
        "http://[::1",
        "http://{host}:x/a.jpg",
        "/data/upload/1/a\x00.jpg",
        "",
    ],
)
def test_images_elsewhere_are_not_fetched(server, address):
    images = Images(Source(server.url, "secret"))
    with pytest.raises(ImageError):
        images.read(address.format(host=server.url.removeprefix("http://")))
    assert all(path == "/etc/passwd" for path, _ in server.asked)  # a path is one on Label Studio's server


def test_without_a_server_only_data_is_read():
    assert Images(Source()).read("data:image/png;base64,AAAA") == b"\0\0\0"
    with pytest.raises(ImageError, match="--label-studio-url"):
        Images(Source()).read("/data/upload/1/a.jpg")


def test_files_below_a_folder(tmp_path):
    root = tmp_path / "root"
    (root / "cats").mkdir(parents=True)
    (root / "cats" / "a b.jpg").write_bytes(b"cat")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "secret")
    images = Images(Source(files=root, max_bytes=10))
    assert images.read("/data/local-files/?d=cats/a%20b.jpg") == b"cat"
    for name in ("../secret", "link", "/etc/passwd", "cats", "", "%00", "cats/none.jpg"):
        with pytest.raises(ImageError, match="no file"):
            images.read(f"/data/local-files/?d={name}")
    with pytest.raises(TooLargeError):
        Images(Source(files=root, max_bytes=2)).read("/data/local-files/?d=cats/a b.jpg")


@pytest.mark.parametrize(
    "source",
    [
        {"url": "label-studio"},
        {"url": "file:///"},
        {"url": "http://["},
        {"url": "http://host:port"},
        {"url": "http://host/?a=b"},
        {"files": "nothing"},
    ],
)
def test_sources_that_are_none(source, tmp_path):
    with pytest.raises(OptionError, match="expected"):
        Images(Source(**{key: tmp_path / value if key == "files" else value for key, value in source.items()}))
