"""What deploy/ says of the project is true: commands, extras, modules, ports. deploy/README.md says what has run."""

import argparse
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from mfp.cli import serve

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def parsed(arguments):
    """The options of `mfp serve`."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    serve.add_arguments(parser)
    return parser.parse_args(arguments)


def stages():
    """The Dockerfile's lines, by target."""
    found = {}
    for line in re.sub(r"\\\n", " ", DOCKERFILE).splitlines():
        if line.startswith("FROM"):
            found[line.split(" AS ")[1]] = lines = []
        elif line and not line.startswith(("#", "ARG")):
            lines.append(line)
    return found


def test_the_container_starts_the_server():
    base = stages()["base"]
    (start,) = (json.loads(line.removeprefix("CMD ")) for line in base if line.startswith("CMD"))
    assert start[0] == "serve"
    options = parsed(start[1:])
    assert options.host == "0.0.0.0"
    assert f"EXPOSE {options.port}" in base
    (volume,) = (line.removeprefix("VOLUME ") for line in base if line.startswith("VOLUME"))
    assert options.store.startswith(f"sqlite:///{volume}/")
    (health,) = (line for line in base if line.startswith("HEALTHCHECK"))
    assert f":{options.port}/readyz" in health


def test_no_stage_that_runs_is_root():
    for name, lines in stages().items():
        if name not in ("wheel", "base"):
            users = [line for line in lines if line.startswith("USER")]
            assert users == ["USER 10001"], name
    assert "useradd --uid 10001" in DOCKERFILE


def test_extras_are_there():
    setup = (ROOT / "setup.py").read_text()
    extras = re.findall(r'^        "([a-z]+)": ', setup.split("extras_require")[1], re.MULTILINE)
    named = {extra for found in re.findall(r"\.whl\)\[([a-z,]+)\]", DOCKERFILE) for extra in found.split(",")}
    assert named <= set(extras)


def test_the_build_context_has_what_the_wheel_is_made_of():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    folders = set(re.findall(r'"mfp\.([a-z]+)', (ROOT / "setup.py").read_text()))
    assert folders | {"setup.py", "pyproject.toml", "__init__.py", "README.md", "LICENSE"} <= kept
    assert all((ROOT / name).exists() for name in kept)


def test_compose():
    found = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())
    over = yaml.safe_load((DEPLOY / "docker-compose.gpu.yaml").read_text())
    serve = found["services"]["serve"]
    assert serve["command"][0] == "serve"
    options = parsed([re.sub(r"\$\{.*\}", "localhost", argument) for argument in serve["command"][1:]])
    host = re.fullmatch(r"redis://([a-z]+):6379/0", options.store)[1]
    assert host in found["services"]
    assert host in serve["depends_on"]
    assert serve["ports"] == [f"127.0.0.1:{options.port}:{options.port}"]
    assert (DEPLOY / serve["build"]["context"] / serve["build"]["dockerfile"]).is_file()
    for target in (serve["build"]["target"], over["services"]["serve"]["build"]["target"]):
        assert target in stages()


def kubernetes():
    return {found["kind"]: found for found in yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text())}


def test_kuberay_names_what_there_is():
    found = kubernetes()
    service = found["RayService"]["spec"]
    serve = yaml.safe_load(service["serveConfigV2"])
    (application,) = serve["applications"]
    assert application["args"]["store"].startswith(f"redis://{found['Service']['metadata']['name']}:")
    cluster = service["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {container["image"] for group in groups for container in group["template"]["spec"]["containers"]}
    assert images == {"mfp-engine:ray"}
    assert "ray" in stages()
    constraint = re.search(r"^ray(?:\[.*\])?==(.*?)(;|$)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert constraint
    assert cluster["rayVersion"] == constraint[1].strip()


def test_kuberays_settings_are_those_of_the_application(monkeypatch):
    pytest.importorskip("ray")
    from mfp.serve.cluster.settings import ClusterSettings

    (application,) = yaml.safe_load(kubernetes()["RayService"]["spec"]["serveConfigV2"])["applications"]
    monkeypatch.setenv("MFP_TOKEN", "a-token-of-ours")  # as the manifest has it, from a secret
    settings = ClusterSettings(**application["args"])
    assert settings.networks == ["lite0"]
    assert settings.http_settings().token == "a-token-of-ours"
    module, name = application["import_path"].split(":")
    assert f"def {name}(" in Path(importlib.util.find_spec(module).origin).read_text()


def test_commands_in_comments_name_files_that_are_there():
    for file in DEPLOY.rglob("*.yaml"):
        for line in file.read_text().splitlines():
            if line.startswith("#   "):
                for word in shlex.split(line[1:], comments=True):
                    if word.startswith("deploy/") and "." in word:
                        assert (ROOT / word).exists(), f"{file}: {word}"
