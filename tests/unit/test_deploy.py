"""The operating files: what they set is a setting, and what they promise holds.

Not here: whether containers start; docs/operating.md says how that was tried.
"""

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from bookline.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SETTINGS = {f"BOOKLINE_{name.upper()}" for name in Settings.model_fields}
DRAIN_SECONDS = 15  # docs/contract.md: how long a node may take to hand over
TEXTS = sorted(path for path in DEPLOY.iterdir() if path.is_file())

Document = dict[str, Any]


def compose() -> Document:
    read: Document = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return read


def kubernetes(kind: str) -> list[Document]:
    found = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
    return [one for one in found if one and one["kind"] == kind]


def instructions() -> list[tuple[str, str]]:
    """Of the image's last stage."""
    lines = (DEPLOY / "Containerfile").read_text("utf-8").splitlines()
    found = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    stages = [place for place, (word, _) in enumerate(found) if word == "FROM"]
    return [(word, rest) for word, rest in found[stages[-1] :]]


def unit() -> configparser.ConfigParser:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read(DEPLOY / "bookline.service")
    return read


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_what_is_set_is_a_setting(path: Path) -> None:
    named = set(re.findall(r"\bBOOKLINE_[A-Z_]+\b", path.read_text("utf-8")))

    assert named <= SETTINGS


def test_no_secret_stands_in_a_file() -> None:
    """Each comes from the outside, and none has a default."""
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    example = (DEPLOY / "compose.env.example").read_text("utf-8")

    for name in ("BOOKLINE_API_KEYS", "POSTGRES_PASSWORD", "OBJECTS_PASSWORD"):
        assert f"${{{name}:?" in text
        assert f"{name}:-" not in text
        assert f"\n{name}=\n" in f"{example}\n"
    assert not kubernetes("Secret")


# ------------------------------------------------------------------ the image
def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    said = dict(instructions())

    assert said["USER"] == "10001"
    assert said["VOLUME"] == "/data"
    assert "/healthz" in said["HEALTHCHECK"]
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert (said["ENTRYPOINT"], said["CMD"]) == ('["bookline"]', '["serve"]')


def test_the_image_is_built_from_what_is_there_and_nothing_else() -> None:
    lines = (DEPLOY / "Containerfile").read_text("utf-8").splitlines()
    copied = [
        source
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in shlex.split(line)[1:-1]
    ]
    let_in = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    ]

    assert sorted(copied) == sorted(let_in)
    assert all((ROOT / source).exists() for source in copied)


# ------------------------------------------------------------------ compose
def test_two_nodes_share_database_store_and_secrets_and_no_port() -> None:
    services = compose()["services"]
    nodes = {name: one for name, one in services.items() if one["image"] == "bookline"}

    assert {tuple(one["command"]) for one in nodes.values()} == {
        ("serve", "--role", "api"),
        ("serve", "--role", "worker"),
    }
    ports = [one["environment"].pop("BOOKLINE_PORT") for one in nodes.values()]
    first, second = (one["environment"] for one in nodes.values())
    assert first == second
    assert len(set(ports)) == 2
    assert services["objects"]["ports"] == [f"127.0.0.1:{ports[0]}:{ports[0]}"]


def test_whoever_is_waited_for_says_that_it_is_there() -> None:
    services = compose()["services"]

    for one in services.values():
        for name, how in one.get("depends_on", {}).items():
            needs_health = how["condition"] == "service_healthy"
            assert name in services
            assert ("healthcheck" in services[name]) is needs_health


def test_a_container_has_time_to_hand_its_imports_over() -> None:
    graces = [one.get("stop_grace_period") for one in compose()["services"].values()]

    assert all(int(one.removesuffix("s")) > DRAIN_SECONDS for one in graces if one)
    assert int(unit()["Service"]["TimeoutStopSec"]) > DRAIN_SECONDS


# ------------------------------------------------------------------ Kubernetes
@pytest.mark.parametrize("pod", kubernetes("Deployment"), ids=lambda one: one["metadata"]["name"])
def test_a_pod_is_asked_and_ended_as_a_node_wants_it(pod: Document) -> None:
    spec = pod["spec"]["template"]["spec"]
    (container,) = spec["containers"]

    assert spec["terminationGracePeriodSeconds"] > DRAIN_SECONDS + 5  # and the pause before it
    assert spec["enableServiceLinks"] is False  # else BOOKLINE_PORT is no port
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_service_finds_the_nodes_that_serve() -> None:
    (service,) = kubernetes("Service")
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in kubernetes("Deployment")]

    found = [one for one in labels if service["spec"]["selector"].items() <= one.items()]

    assert found == [{"app": "bookline", "role": "api"}]


# ------------------------------------------------------------------ systemd
def test_the_unit_keeps_its_data_in_its_state_directory() -> None:
    service = unit()["Service"]

    assert service["StateDirectory"] == "bookline"
    assert service["StateDirectoryMode"] == "0700"
    assert service["Environment"] == "BOOKLINE_DATA_DIR=%S/bookline"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
