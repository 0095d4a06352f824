"""deploy/nginx.conf, deploy/Caddyfile and the path of docs/deploying.md, in front of a real server."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from mfp.engine.sample import PATH as SAMPLE

ROOT = Path(__file__).parents[2]
NGINX = (ROOT / "deploy" / "nginx.conf").read_text()
CADDY = (ROOT / "deploy" / "Caddyfile").read_text()
(PATH_BELOW,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "deploying.md").read_text(), re.DOTALL)
API = "/api/v1"
TOKEN = "a-long-enough-token"
CLIENT = {"Authorization": f"Bearer {TOKEN}"}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of our own for mfp.example, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("certificate")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "certificate.pem", "-days", "2", "-subj", "/CN=mfp.example"]
    command += ["-addext", "subjectAltName=DNS:mfp.example"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture
def server(tmp_path):
    """``server(*flags)``: `mfp serve` with the toy network; its port, and its log's lines."""
    started = []

    def start(*flags):
        port, log = free_port(), tmp_path / "server.log"
        command = [sys.executable, "-m", "mfp.cli.main", "serve", "--port", str(port), "--token", TOKEN, *flags]
        command += ["--store", f"sqlite:///{tmp_path}/sessions.sqlite", "--log-format", "json"]
        command += ["--network", str(ROOT / "tests" / "golden" / "toy.onnx"), "--threads", "1"]
        with log.open("w") as file:
            started.append(subprocess.Popen(command, stderr=file))
        wait_for(port, started[-1])
        return port, lambda: [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def proxy(tmp_path):
    """``proxy(command, port, …)``: a process that listens at the port until the test ends."""
    started = []

    def start(command, port, **options):
        started.append(subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, **options))
        wait_for(port, started[-1])

    yield start
    for process in started:
        process.terminate()
        process.wait()


def wait_for(port, process):
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing listens at {port}: {process.stderr.read() if process.stderr else process.returncode}")


@pytest.fixture
def nginx(tmp_path, certificate, proxy):
    """``nginx(server's port, extra locations)``: the file with other ports and certificates; its own port."""
    if shutil.which("nginx") is None:
        pytest.skip("needs nginx: apt-get install nginx-light")

    def start(upstream, extra=""):
        port = free_port()
        conf = NGINX
        for old, new in {
            "listen 443": f"listen 127.0.0.1:{port}",
            "/etc/ssl/certs/mfp.example.pem": str(certificate[0]),
            "/etc/ssl/private/mfp.example.key": str(certificate[1]),
            "    location / {": f"{extra}    location / {{",
        }.items():
            assert old in conf
            conf = conf.replace(old, new)
        assert "127.0.0.1:8700" in conf
        conf = conf.replace("127.0.0.1:8700", f"127.0.0.1:{upstream}")
        paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in paths)
        (tmp_path / "nginx.conf").write_text(
            f"{'user root;' if os.geteuid() == 0 else ''}\n"  # else its workers are another user, without a folder
            f"daemon off; pid {tmp_path}/nginx.pid; error_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off; {temporary}\n{conf}\n}}\n"
        )
        proxy(["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], port)
        return port

    return start


@pytest.fixture
def caddy(tmp_path, certificate, proxy):
    """``caddy(server's port)``: the file with another port, and a certificate of our own; its own port."""
    if shutil.which("caddy") is None:
        pytest.skip("needs caddy: apt-get install caddy")

    def start(upstream):
        port = free_port()
        own = f"tls {certificate[0]} {certificate[1]}"
        conf = CADDY.replace("mfp.example {", f"https://mfp.example:{port} {{\n{own}\n")
        assert own in conf
        conf = conf.replace("127.0.0.1:8700", f"127.0.0.1:{upstream}")
        (tmp_path / "Caddyfile").write_text(f"{{\nadmin off\nauto_https disable_redirects\n}}\n{conf}")
        folders = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        command = ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
        proxy(command, port, env=folders)
        return port

    return start


@pytest.fixture
def ask(certificate):
    """``ask(port, method, path, …)``: a request to mfp.example, which is this machine."""
    context = ssl.create_default_context(cafile=str(certificate[0]))

    def request(port, method, path, headers=None, **options):
        with httpx2.Client(verify=context, timeout=120) as http:
            extensions = {"sni_hostname": "mfp.example"}
            headers = {"Host": f"mfp.example:{port}", **CLIENT, **(headers or {})}
            url = f"https://127.0.0.1:{port}{path}"
            return http.request(method, url, headers=headers, extensions=extensions, **options)

    request.context = context
    return request


def click(ask, port, id, path=""):
    """A click over the WebSocket, as the page makes it."""
    from websockets.sync.client import connect

    with connect(
        f"wss://mfp.example:{port}{path}{API}/sessions/{id}/ws",
        sock=socket.create_connection(("127.0.0.1", port)),
        ssl=ask.context,
        server_hostname="mfp.example",
        origin=f"https://mfp.example:{port}",
        subprotocols=["mfp", f"bearer.{TOKEN}"],
        open_timeout=60,
    ) as channel:
        assert json.loads(channel.recv())["type"] == "state"
        channel.send(json.dumps({"type": "click", "x": 20, "y": 30}))
        reply = json.loads(channel.recv())
        assert (reply["type"], reply["revision"]) == ("reply", 1)


def use(ask, port, lines, path=""):
    """What a browser does, and what the server's log says of it."""
    origin = {"Origin": f"https://mfp.example:{port}"}
    page = ask(port, "GET", f"{path}/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for link in re.findall(r'(?:href|src)="([^"]+)"', page.text):
        assert ask(port, "GET", f"{path}/{link}").status_code == 200  # each lies below the page's own address
    made = {"X-Forwarded-For": "6.6.6.6"}  # by the client itself
    answer = ask(port, "POST", f"{path}{API}/sessions?flip=false", {**origin, **made}, content=SAMPLE.read_bytes())
    assert answer.status_code == 201
    id = answer.json()["id"]
    while not (found := [line for line in lines() if line.get("path") == f"{API}/sessions"]):
        time.sleep(0.02)  # it is written after the answer
    (line,) = found
    assert line["client"] == "127.0.0.1"
    assert line["request_id"] == answer.headers["x-request-id"]
    click(ask, port, id, path)
    assert ask(port, "GET", f"{path}{API}/sessions/{id}").json()["revision"] == 1
    return id


def at_the_limit(ask, port, path=""):
    large = ask(port, "POST", f"{path}{API}/sessions", content=bytes(63 * 1024 * 1024))
    assert (large.status_code, large.json()["error"]) == (400, "ImageError")  # through the proxy, and no photograph
    assert ask(port, "POST", f"{path}{API}/sessions", content=bytes(70 * 1024 * 1024)).status_code == 413


def test_nginx(server, nginx, ask):
    upstream, lines = server("--allow-host", "mfp.example", "--trust-proxy", "127.0.0.1")
    port = nginx(upstream)
    id = use(ask, port, lines)
    at_the_limit(ask, port)
    assert ask(port, "GET", "/metrics").status_code == 403
    assert httpx2.get(f"http://127.0.0.1:{upstream}/metrics", headers=CLIENT).status_code == 200
    assert len(ask(port, "GET", "/healthz").headers["x-request-id"]) == 32  # nginx's own
    away = {"Origin": "https://evil.example"}
    assert ask(port, "DELETE", f"{API}/sessions/{id}", away).status_code == 403
    assert ask(port, "GET", f"{API}/sessions/{id}", {"Authorization": "Bearer wrong"}).status_code == 401


def test_below_a_path_of_nginx(server, nginx, ask):
    upstream, lines = server("--allow-host", "mfp.example", "--trust-proxy", "127.0.0.1")
    port = nginx(upstream, PATH_BELOW)
    use(ask, port, lines, "/mfp")
    at_the_limit(ask, port, "/mfp")
    answer = ask(port, "GET", "/mfp")
    assert (answer.status_code, answer.headers["location"].endswith("/mfp/")) == (301, True)


def test_caddy(server, caddy, ask):
    upstream, lines = server("--allow-host", "mfp.example", "--trust-proxy", "127.0.0.1")
    port = caddy(upstream)
    use(ask, port, lines)
    at_the_limit(ask, port)
    assert ask(port, "GET", "/metrics").status_code == 403
    assert len(ask(port, "GET", "/healthz").headers["x-request-id"]) == 36


def test_without_its_options_the_server_names_them(server, nginx, ask):
    upstream, lines = server()
    port = nginx(upstream)
    answer = ask(port, "GET", f"{API}/networks", {"X-Forwarded-For": "6.6.6.6"})
    assert answer.status_code == 403
    assert answer.json()["message"].endswith("--allow-host mfp.example")
    while not (found := [line for line in lines() if line["event"] == "request"]):
        time.sleep(0.02)
    assert found[-1]["client"] == "127.0.0.1"
