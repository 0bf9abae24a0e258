"""The image's requirements: each version with the hashes of its files, written by uv."""

import re
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYPROJECT = ROOT / "pyproject.toml"
# Installed into the image.
REQUIREMENTS = ROOT / ".ci" / "requirements.txt"
# These build Paydue's own wheel and stay out of the image.
BUILD_REQUIREMENTS = ROOT / ".ci" / "build-requirements.txt"

_PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)


class RegistryNamed(Exception):
    """A lock file would say where its packages were downloaded from."""


def write(*, is_upgrade: bool) -> None:
    build = tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"]
    _compile(
        REQUIREMENTS,
        [str(PYPROJECT), "--extra", "postgres", "--extra", "otel"],
        is_upgrade=is_upgrade,
    )
    _compile(BUILD_REQUIREMENTS, ["-"], wanted="\n".join(build), is_upgrade=is_upgrade)


def versions() -> dict[str, str]:
    """The locked version of each package of the image."""
    return dict(_PIN.findall(REQUIREMENTS.read_text()))


def _compile(target: Path, sources: Iterable[str], *, wanted: str = "", is_upgrade: bool) -> None:
    command = [
        "uv", "pip", "compile", *sources, "--output-file", str(target), "--quiet",
        # For every platform, so that the file does not depend on the machine that wrote it.
        "--universal", "--python-version", "3.11", "--generate-hashes",
        "--no-emit-index-url", "--no-emit-find-links", "--no-annotate",
        "--custom-compile-command", "python -m tests.supply lock",
        *(["--upgrade"] if is_upgrade else []),
    ]  # fmt: skip
    subprocess.run(command, input=wanted, text=True, check=True, cwd=ROOT)
    # A mirror of one company is of no use to others, and may be a secret.
    if "://" in target.read_text():
        raise RegistryNamed(target)
