"""Pins each image of Dockerfile and docker-compose.yml to the digest that its tag has now."""

import re
import subprocess

from tests.supply.lock_files import ROOT

# `FROM` of a Dockerfile and `image:` of a compose file, but for the one that is built here.
_IMAGE = re.compile(
    r"^(?P<word>FROM |\s+image: )(?P<tag>(?!paydue:local)[\w./-]+:[\w.-]+)"
    r"(?:@sha256:[0-9a-f]{64})?",
    re.MULTILINE,
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class NoDigest(Exception):
    """The registry did not say which image a tag means."""


def pin() -> None:
    """Asks for every digest before anything is written, so that no file is pinned by half."""
    pages = [ROOT / name for name in ("Dockerfile", "docker-compose.yml")]
    pinned = {page: _IMAGE.sub(_with_digest, page.read_text()) for page in pages}
    for page, text in pinned.items():
        page.write_text(text)


def _with_digest(image: re.Match[str]) -> str:
    command = ["docker", "buildx", "imagetools", "inspect", image["tag"]]
    answer = subprocess.run(
        [*command, "--format", "{{.Manifest.Digest}}"], capture_output=True, text=True, check=False
    )
    digest = answer.stdout.strip()
    if not _DIGEST.fullmatch(digest):
        raise NoDigest(f"{image['tag']}: {answer.stderr.strip()}")
    return f"{image['word']}{image['tag']}@{digest}"
