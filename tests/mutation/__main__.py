"""Which changes of the code would no test notice? Needs `pip install -e '.[test,mutation]'`.

    python -m tests.mutation rules                        every mutant of app/rules
    python -m tests.mutation ledger --sample 150 --seed 1 so many, the same ones for the same seed
    python -m tests.mutation rules --module money         of the modules whose path contains this

A mutant is killed when a test fails, or hangs, with it. Only tests that call its function are run.
Survivors that are known are listed in `survivors.toml`, each with a reason. The command fails where
less than 90 % are killed in `rules` or `ledger`, and where a survivor of theirs is not listed.
"""

import argparse
import os
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation import running
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.running import Verdict

SURVIVORS = Path(__file__).with_name("survivors.toml")
NICE = 10
KILLED_MIN = 0.90


@dataclass(frozen=True, slots=True)
class Package:
    """The tests that prove a package, and whether too few killed mutants fail the command."""

    tests: Sequence[str]
    is_held: bool
    options: Sequence[str] = ()


# On SQLite alone: one engine shows whether a test looks, and it is the quicker one.
_ON_SQLITE = ("-k", "not postgres")
PACKAGES = {
    # The rules need nothing of what tests/conftest.py imports, which takes a second.
    "rules": Package(("tests/rules",), is_held=True, options=("--confcutdir", "tests/rules")),
    "ledger": Package(
        ("tests/api/test_invoices.py", "tests/api/test_invoice_actions.py",
         "tests/api/test_invoice_taxes.py", "tests/api/test_invoice_totals.py",
         "tests/api/test_payments.py", "tests/api/test_recurring_invoices.py",
         "tests/api/test_catalogue.py", "tests/api/test_catalogue_taxes.py",
         "tests/api/test_clients_and_currencies.py", "tests/test_webhook.py",
         "tests/test_autopay.py", "tests/test_reconcile.py", "tests/test_traps.py"),
        is_held=True,
        options=_ON_SQLITE,
    ),
    "payments": Package(
        ("tests/test_webhook.py", "tests/test_autopay.py", "tests/test_last_look.py",
         "tests/test_reconcile.py", "tests/test_pace.py", "tests/test_turns.py",
         "tests/test_templates_and_claims.py", "tests/test_traps.py", "tests/test_worker.py"),
        is_held=False,
        options=_ON_SQLITE,
    ),
}  # fmt: skip


def main() -> int:
    options = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("package", choices=PACKAGES)
    options.add_argument("--module", default="", help="only modules whose path contains this")
    options.add_argument("--sample", type=int, help="so many mutants instead of all")
    options.add_argument("--seed", type=int, default=0, help="of the sample")
    given = options.parse_args()
    os.nice(NICE)
    running.import_libraries()
    chosen = _chosen(given.package, given.module, given.sample, given.seed)
    package = PACKAGES[given.package]
    tests = running.learned(package.options, package.tests)
    verdicts = {mutant: _verdict(tests, mutant) for mutant in chosen}
    return _report(given.package, verdicts, is_whole=given.sample is None and not given.module)


def _chosen(package: str, module: str, sample: int | None, seed: int) -> list[Mutant]:
    root = running.ROOT / "app"
    paths = sorted((root / package).rglob("*.py"))
    every = [
        mutant
        for path in paths
        if module in (name := str(path.relative_to(root)))
        for mutant in mutants_of(path, name)
    ]
    if sample is None or sample >= len(every):
        return every
    # No secret: the same seed draws the same mutants.
    taken = set(random.Random(seed).sample(range(len(every)), sample))
    return [mutant for number, mutant in enumerate(every) if number in taken]


def _verdict(tests: running.Tests, mutant: Mutant) -> Verdict:
    found = running.verdict(mutant, tests)
    sys.stderr.write({"killed": ".", "survived": "S", "timeout": "T"}[found])
    sys.stderr.flush()
    return found


# --- the report ------------------------------------------------------------------------------


def _report(package: str, verdicts: dict[Mutant, Verdict], *, is_whole: bool) -> int:
    known = known_survivors()
    survivors = [one for one, found in verdicts.items() if found == Verdict.SURVIVED]
    unknown = [one.name for one in survivors if one.name not in known]
    share = 1 - len(survivors) / max(len(verdicts), 1)
    _say("", *_table(verdicts), "")
    for one in survivors:
        _say(f"survived: {one.name} (line {one.line})\n    {known.get(one.name, 'NOT LISTED')}")
    if is_whole:
        names = {one.name for one in survivors}
        gone = [name for name in known if name.startswith(f"{package}/") and name not in names]
        _say(*(f"listed, but killed or gone: {name}" for name in gone))
    _say(f"{share:.1%} of {len(verdicts)} killed, {len(unknown)} survivors not listed")
    return int(PACKAGES[package].is_held and (share < KILLED_MIN or bool(unknown)))


def known_survivors() -> dict[str, str]:
    """The reason of each listed survivor, by the mutant's name."""
    listed = tomllib.loads(SURVIVORS.read_text())["survivors"]
    return {name: group["reason"] for group in listed for name in group["mutants"]}


def _table(verdicts: dict[Mutant, Verdict]) -> list[str]:
    counts = Counter((one.module, found) for one, found in verdicts.items())
    head = ("mutants", "killed", "survived", "timeout", "share")
    lines = [f"{'module':32} {' '.join(word.rjust(8) for word in head)}"]
    for module in dict.fromkeys(one.module for one in verdicts):
        killed, survived, late = (counts[module, found] for found in Verdict)
        total = killed + survived + late
        share = (killed + late) / total
        lines.append(f"{module:32} {total:8} {killed:8} {survived:8} {late:8} {share:8.1%}")
    return lines


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
