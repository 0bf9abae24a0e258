"""The image gets only what is locked by its hash, and known advisories and digests are found."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.supply import __main__ as supply, advisories, digests, lock_files

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [*PROJECT["dependencies"], *EXTRAS["postgres"], *EXTRAS["otel"]]
LOCKED = lock_files.versions()
LOCK_FILES = [lock_files.REQUIREMENTS, lock_files.BUILD_REQUIREMENTS]


# --- locked versions ------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", WANTED)
def test_each_requirement_is_locked_at_a_version_it_allows(wanted: str) -> None:
    requirement = Requirement(wanted)

    assert requirement.specifier.contains(LOCKED[requirement.name])


def test_nothing_that_only_tests_and_developers_need_is_locked() -> None:
    wanted = {Requirement(one).name for one in WANTED}
    others = {
        Requirement(one).name.lower()
        for extra in ("test", "mutation", "dev", "supply")
        for one in EXTRAS[extra]
    }

    assert (others - wanted) & set(LOCKED) == set()


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.name)
def test_a_lock_file_has_a_hash_for_each_version_and_names_no_place(path: Path) -> None:
    text = path.read_text()

    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]

    assert entries
    assert [one for one in entries if "--hash=sha256:" not in one] == []
    assert "://" not in text
    assert "index" not in text


def test_the_image_installs_only_what_is_locked() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    installs = [part for line in lines for part in line.split("&&") if " install " in f"{part} "]
    of_pip = [one for one in installs if re.search(r"\bpip\b", one)]

    loose = [
        one for one in of_pip if "--require-hashes" not in one and "--no-index --no-deps" not in one
    ]

    assert len(of_pip) == 3
    assert loose == []


def test_paydue_without_the_sandbox_offers_neither_sandbox_nor_demo(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("sandbox"))

    said = subprocess.run(
        [sys.executable, "-m", "app", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    listed = set(re.findall(r"^  ([a-z]+)  ", said.stdout, re.MULTILINE))
    assert {"serve", "worker", "doctor"} <= listed
    assert listed & {"sandbox", "demo"} == set()
    assert "app/sandbox" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_licence_of_the_package_is_the_licence_of_the_repository() -> None:
    assert PROJECT["license"] == metadata("paydue")["License-Expression"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")


# --- advisories -----------------------------------------------------------------------------------


def _record(**affected: object) -> dict[str, object]:
    package = {"ecosystem": "PyPI", "name": "aiohttp"}
    return {"id": "TEST-1", "summary": "it breaks", "affected": [{"package": package, **affected}]}


def _range(*events: dict[str, str]) -> dict[str, object]:
    return _record(ranges=[{"type": "ECOSYSTEM", "events": list(events)}])


SINCE_2 = {"introduced": "2.0"}


@pytest.mark.parametrize(
    ("record", "version", "is_found"),
    [
        (_record(versions=["3.1", "3.2"]), "3.2", True),
        (_record(versions=["3.1", "3.2"]), "3.3", False),
        (_range({"introduced": "0"}), "0.1", True),
        (_range(SINCE_2), "1.9", False),
        (_range(SINCE_2), "2.0", True),
        (_range(SINCE_2, {"fixed": "2.10"}), "2.9", True),
        (_range(SINCE_2, {"fixed": "2.10"}), "2.10", False),
        (_range(SINCE_2, {"last_affected": "2.4"}), "2.4", True),
        (_range(SINCE_2, {"last_affected": "2.4"}), "2.5", False),
        (_range({"fixed": "1.1"}, {"introduced": "0"}, SINCE_2, {"fixed": "2.1"}), "1.5", False),
        (_range({"fixed": "1.1"}, {"introduced": "0"}, SINCE_2, {"fixed": "2.1"}), "2.0.1", True),
        ({**_range(SINCE_2), "withdrawn": "2026-01-01T00:00:00Z"}, "2.0", False),
    ],
)
def test_an_advisory_is_found_for_the_versions_it_is_about(
    tmp_path: Path, record: dict[str, object], version: str, is_found: bool
) -> None:
    (tmp_path / "record.json").write_text(json.dumps(record))

    found = advisories.found_in(tmp_path, {"aiohttp": version})

    assert bool(found) is is_found


def test_a_name_is_compared_as_pypi_compares_names(tmp_path: Path) -> None:
    record = json.dumps(_record(versions=["1.0"])).replace("aiohttp", "Typing_Extensions")
    (tmp_path / "record.json").write_text(record)

    (found,) = advisories.found_in(tmp_path, {"typing-extensions": "1.0"})

    assert found.package == "typing-extensions"


def test_an_advisory_on_a_locked_version_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as records:
        records.writestr("TEST-1.json", json.dumps(_range({"introduced": "0"})))
        records.writestr("TEST-2.json", json.dumps(_record(versions=["0.0.1"])))

    code = supply.main(["advisories", str(archive)])

    assert code == 1
    assert capsys.readouterr().out == f"aiohttp {LOCKED['aiohttp']}: TEST-1 it breaks\n"


def test_no_advisory_on_a_locked_version_passes_the_command(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps(_record(versions=["0.0.1"])))

    assert supply.main(["advisories", str(tmp_path)]) == 0


def test_records_that_are_about_nothing_prove_nothing(tmp_path: Path) -> None:
    with pytest.raises(advisories.NoRecords):
        advisories.found_in(tmp_path, LOCKED)


# --- digests --------------------------------------------------------------------------------------

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the two files that name images, and a `docker` of its own on PATH."""
    for name in ("Dockerfile", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(digests, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def _docker(folder: Path, script: str) -> None:
    (folder / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "docker").chmod(0o755)


def _images(folder: Path) -> list[str]:
    text = "".join((folder / name).read_text() for name in ("Dockerfile", "docker-compose.yml"))
    return re.findall(r"^(?:FROM|\s+image:) (\S+)", text, re.MULTILINE)


def test_each_image_but_our_own_is_pinned_and_pinned_again(files: Path) -> None:
    tags = [one for one in _images(ROOT) if one != "paydue:local"]
    _docker(files, f"echo {DIGEST}")

    digests.pin()
    digests.pin()

    pinned = [one for one in _images(files) if one != "paydue:local"]
    assert len(tags) >= 4
    assert pinned == [f"{one.partition('@')[0]}@{DIGEST}" for one in tags]
    assert "paydue:local" in _images(files)


def test_no_file_is_pinned_when_one_digest_cannot_be_had(files: Path) -> None:
    before = _images(files)
    _docker(files, f'case "$4" in stripe/*) exit 1 ;; *) echo {DIGEST} ;; esac')

    with pytest.raises(digests.NoDigest, match="stripe-mock"):
        digests.pin()

    assert _images(files) == before
