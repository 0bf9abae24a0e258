"""What goes into the image, and whether it may. Needs `pip install -e '.[supply]'`.

    python -m tests.supply lock                 the image's requirements with hashes; keeps versions
    python -m tests.supply lock --upgrade       the same, with the newest versions that are allowed
    python -m tests.supply versions             what is locked
    python -m tests.supply advisories RECORDS   fails on a locked version with a known advisory
    python -m tests.supply sbom                 CycloneDX, as JSON, on stdout
    python -m tests.supply digests              pins the images of Dockerfile and docker-compose.yml

RECORDS is a folder or a zip of OSV records, such as OSV's own `PyPI/all.zip`; no network is needed.
CI takes it from OSV_RECORDS.
`digests` asks the images' registry, by Docker.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.supply import advisories, digests, lock_files


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    match options.command:
        case "lock":
            lock_files.write(is_upgrade=options.upgrade)
        case "versions":
            print("\n".join(f"{name} {version}" for name, version in lock_files.versions().items()))
        case "advisories":
            return _advisories(options.records)
        case "sbom":
            return _sbom()
        case "digests":
            digests.pin()
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.supply",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lock").add_argument("--upgrade", action="store_true")
    commands.add_parser("advisories").add_argument("records", type=Path)
    for name in ("versions", "sbom", "digests"):
        commands.add_parser(name)
    return parser.parse_args(arguments)


def _advisories(records: Path) -> int:
    found = advisories.found_in(records, lock_files.versions())
    for one in found:
        print(f"{one.package} {one.version}: {one.id} {one.summary}")
    return 1 if found else 0


def _sbom() -> int:
    command = [
        "cyclonedx-py", "requirements", str(lock_files.REQUIREMENTS),
        "--pyproject", str(lock_files.PYPROJECT), "--output-reproducible", "--of", "JSON",
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
