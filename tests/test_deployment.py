"""The units, manifests and files of `ops`, `paydue init` and completion are sound."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from app.serving import FINISH_S
from app.settings import Settings
from tests import leaks
from tests.conftest import absent
from tests.test_cli import ROOT

UNITS = sorted((ROOT / "ops/systemd").glob("*.service"))
# systemd's own scale of 0 to 10 in tenths; its word for less than 2.5 is "OK".
EXPOSURE_MAX = 25
# The answers to `paydue init`, in the order of its questions.
KEY, SECRET = leaks.STRIPE_KEY, leaks.SIGNING_SECRET
ANSWERS = (KEY, SECRET, "postgresql://u:p'w\\x@db/paydue", "Europe/Berlin", "", "")


def paydue(*words: str, folder: Path, given: str = "", **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "app", *words], cwd=folder, input=given, capture_output=True,
        text=True, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_understood_and_leaves_next_to_no_rights(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        absent("no systemd-analyze: Debian's package systemd has it")
    here = tmp_path / unit.name
    program = shutil.copy("/bin/true", tmp_path / "paydue")
    here.write_text(unit.read_text().replace("/opt/paydue/bin/paydue", str(program)))

    verified = _analyze("verify", "--man=no", str(here))
    judged = _analyze("security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", str(here))

    assert (verified.returncode, _about(verified.stderr, unit.name)) == (0, [])
    assert judged.returncode == 0, judged.stdout[-400:]


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def _about(text: str, name: str) -> list[str]:
    """Complaints about this unit; those about the machine's own are not ours."""
    return [line for line in text.splitlines() if name in line]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_command_of_a_unit_exists(unit: Path, tmp_path: Path) -> None:
    (words,) = re.findall(r"^ExecStart=/opt/paydue/bin/paydue (.*)$", unit.read_text(), re.M)

    assert paydue(*words.split(), "--help", folder=tmp_path).returncode == 0


def _manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "ops/kubernetes/paydue.yaml").read_text()))


def _pods() -> dict[str, dict[str, Any]]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in _manifests()
        if one["kind"] == "Deployment"
    }


def test_a_pod_is_drained_before_it_is_killed() -> None:
    (config,) = [one for one in _manifests() if one["kind"] == "ConfigMap"]
    drain = int(config["data"]["PAYDUE_DRAIN"])
    pod = _pods()["paydue-serve"]
    (serve,) = pod["containers"]
    unready_after = serve["readinessProbe"]["periodSeconds"] * 3  # Kubernetes asks three times

    assert pod["terminationGracePeriodSeconds"] > drain + FINISH_S
    assert drain > unready_after
    assert {*config["data"]} <= {field.alias for field in Settings.model_fields.values()}


@pytest.mark.parametrize("name", ["paydue-serve", "paydue-worker"])
def test_a_pod_has_few_rights_and_is_probed_where_it_serves(name: str, tmp_path: Path) -> None:
    pod = _pods()[name]
    (container,) = pod["containers"]
    (port,) = container["ports"]

    for one in [*pod.get("initContainers", []), container]:
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert pod["securityContext"]["runAsNonRoot"]
    assert str(port["containerPort"]) in container["command"]
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}
    assert paydue(*container["command"][1:], "--help", folder=tmp_path).returncode == 0


def test_the_service_leads_to_the_servers_alone() -> None:
    (service,) = [one for one in _manifests() if one["kind"] == "Service"]
    labels = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in _manifests()
        if one["kind"] == "Deployment"
    }

    chosen = [
        name for name, own in labels.items() if service["spec"]["selector"].items() <= own.items()
    ]

    assert chosen == ["paydue-serve"]


def test_caddy_understands_its_file() -> None:
    caddy = shutil.which("caddy", path="/usr/bin:/usr/sbin:/usr/local/bin")
    if caddy is None:
        absent("no caddy")
    words = [caddy, "validate", "--adapter", "caddyfile", "--config", str(ROOT / "ops/Caddyfile")]

    said = subprocess.run(words, capture_output=True, text=True, check=False)

    assert said.returncode == 0, said.stderr


# --- paydue init and completion --------------------------------------------------------------


def test_init_writes_what_was_answered_for_its_owner_alone(tmp_path: Path) -> None:
    said = paydue("init", folder=tmp_path, given="\n".join([*ANSWERS, ""]))

    assert said.returncode == 0, said.stderr
    file = tmp_path / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert dotenv_values(file) == {
        "STRIPE_API_KEY": ANSWERS[0],
        "STRIPE_WEBHOOK_SECRET": ANSWERS[1],
        "PAYDUE_DATABASE_URL": ANSWERS[2],
        "PAYDUE_TIMEZONE": ANSWERS[3],
        "PAYDUE_AUTOPAY_AT": "06:00",
    }
    assert SECRET not in said.stdout + said.stderr


def test_init_asks_again_for_what_cannot_be_meant(tmp_path: Path) -> None:
    answers = (KEY, "whsec_...", SECRET, "", "Mars/Base", "UTC", "", "", "")

    said = paydue("init", folder=tmp_path, given="\n".join(answers))

    assert said.returncode == 0, said.stderr
    assert "placeholder" in said.stdout + said.stderr
    assert "Mars/Base" in said.stdout + said.stderr
    assert dotenv_values(tmp_path / ".env")["STRIPE_WEBHOOK_SECRET"] == SECRET


def test_init_writes_over_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STRIPE_API_KEY=mine\n")

    said = paydue("init", folder=tmp_path, given="\n".join([*ANSWERS, ""]))

    assert said.returncode == 2
    assert (tmp_path / ".env").read_text() == "STRIPE_API_KEY=mine\n"


def test_an_init_that_is_broken_off_writes_nothing(tmp_path: Path) -> None:
    said = paydue("init", folder=tmp_path, given=f"{KEY}\n")

    assert said.returncode == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_are_completed(shell: str, tmp_path: Path) -> None:
    script = paydue(folder=tmp_path, _PAYDUE_COMPLETE=f"{shell}_source")
    word = "paym" if shell == "fish" else "1"
    asked = paydue(
        folder=tmp_path, _PAYDUE_COMPLETE=f"{shell}_complete", COMP_WORDS="paydue paym",
        COMP_CWORD=word,
    )  # fmt: skip

    assert "_PAYDUE_COMPLETE" in script.stdout
    assert "payments" in asked.stdout
    assert "serve" not in asked.stdout
