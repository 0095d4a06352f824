"""The repository in Triton itself: the server of the nvidia-pytriton package, which has the Python backend alone.

`make test-triton` makes an environment with it and sets MFP_TRITON_PYTHON. It needs NumPy 1, so it is one of its own.
"""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from mfp import Session, read_image
from mfp.engine.sample import PATH as SAMPLE
from mfp.serve.triton.repository import write_repository

PYTHON = os.environ.get("MFP_TRITON_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="needs Triton: make test-triton"),
]

WHERE = """
import json, sys, sysconfig, importlib.util
print(json.dumps({
    "package": importlib.util.find_spec("pytriton").submodule_search_locations[0],
    "library": sysconfig.get_config_var("LIBDIR"),
    "version": "%d.%d" % sys.version_info[:2],
}))
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A Triton that serves lite0, with its ONNX Runtime backend replaced (stand_in.py)."""
    folder = tmp_path_factory.mktemp("triton")
    facts = json.loads(subprocess.run([PYTHON, "-c", WHERE], check=True, capture_output=True, text=True).stdout)
    package = Path(facts["package"])
    triton = package / "tritonserver"
    shutil.copytree(triton / "backends" / "python", folder / "backends" / "python")
    stub = triton / "python_backend_stubs" / facts["version"] / "triton_python_backend_stub"
    shutil.copy(stub, folder / "backends" / "python")
    write_repository("lite0", folder / "models", flip=False, instances=2)
    network = folder / "models" / "mfp_lite0_network"
    config = network / "config.pbtxt"
    config.write_text(config.read_text().replace('"onnxruntime"', '"python"'))
    shutil.copy(Path(__file__).with_name("stand_in.py"), network / "1" / "model.py")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    libraries = f"{package.parent / 'nvidia_pytriton.libs'}:{facts['library']}"
    environment = os.environ | {
        "PATH": f"{Path(PYTHON).absolute().parent}:{os.environ['PATH']}",  # where the stub looks for its packages
        "LD_LIBRARY_PATH": libraries,
    }
    command = [
        triton / "bin" / "tritonserver", "--model-repository", folder / "models",
        "--backend-directory", folder / "backends", "--http-address", "127.0.0.1", "--http-port", str(port),
        "--allow-grpc", "false", "--allow-metrics", "false", "--exit-timeout-secs", "5",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not ready(address):
            assert server.poll() is None, (folder / "log").read_text()[-4000:]
            assert time.monotonic() < deadline, (folder / "log").read_text()[-4000:]
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def ready(address):
    try:
        return urllib.request.urlopen(f"{address}/v2/health/ready").status == 200
    except OSError:
        return False


def click(address, photo, clicks):
    """The mask and its score, by Triton's HTTP protocol with binary tensors."""
    points = np.asarray(clicks, np.float64).reshape(-1, 3)
    tensors = {"image": ("UINT8", [len(photo)], photo), "clicks": ("FP64", list(points.shape), points.tobytes())}
    head = json.dumps(
        {
            "inputs": [
                {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(data)}}
                for name, (kind, shape, data) in tensors.items()
            ],
            "outputs": [{"name": "mask", "parameters": {"binary_data": True}}, {"name": "score"}],
        }
    ).encode()
    body = head + b"".join(data for _, _, data in tensors.values())
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{address}/v2/models/mfp_lite0/infer", body, headers)
    ) as response:
        answer, length = response.read(), int(response.headers["Inference-Header-Content-Length"])
    outputs = {output["name"]: output for output in json.loads(answer[:length])["outputs"]}
    mask = np.frombuffer(answer[length:], np.bool_).reshape(outputs["mask"]["shape"])
    return mask, outputs["score"]["data"][0]


CLICKS = [(120, 330, 1), (220, 110, 1), (400, 430, 0)]


def test_clicks_in_triton_are_those_of_a_session(url, lite0):
    photo = SAMPLE.read_bytes()
    session = Session(lite0, read_image(SAMPLE), flip=False)
    for count, (x, y, sign) in enumerate(CLICKS, 1):
        mask = session.click(x, y, bool(sign))
        found, score = click(url, photo, CLICKS[:count])
        differing = np.count_nonzero(found != mask.array)
        assert differing <= 1e-4 * mask.area  # another number of threads may round another way
        assert 0 < score <= 1


def test_requests_side_by_side(url, lite0):
    photo = SAMPLE.read_bytes()
    session = Session(lite0, read_image(SAMPLE), flip=False)
    for x, y, sign in CLICKS:
        mask = session.click(x, y, bool(sign))
    found = []

    def work():
        for count in range(1, len(CLICKS) + 1):
            last, _ = click(url, photo, CLICKS[:count])
        found.append(np.count_nonzero(last != mask.array))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert max(found) <= 1e-4 * mask.area


@pytest.mark.parametrize(
    ("photo", "clicks", "words"), [(b"text", CLICKS, "no image"), (None, [(9999, 1, 1)], "outside the image")]
)
def test_what_is_wrong_is_said(url, photo, clicks, words):
    with pytest.raises(urllib.error.HTTPError) as refused:
        click(url, photo or SAMPLE.read_bytes(), clicks)
    assert refused.value.code == 400
    assert words in json.loads(refused.value.read())["error"]


def test_the_configurations_are_whole(url):
    """Triton fills in what a configuration leaves out; of ours it has nothing to fill in but defaults."""
    for name, tensors in (("mfp_lite0", {"image", "clicks"}), ("mfp_lite0_network", set(NETWORK))):
        with urllib.request.urlopen(f"{url}/v2/models/{name}/config") as response:
            config = json.load(response)
        assert {tensor["name"] for tensor in config["input"]} == tensors
    assert config["max_batch_size"] == 16
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] > 0


NETWORK = ("image", "prev_mask", "modulated_mask", "clicks")
