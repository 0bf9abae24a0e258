"""A long run: random e-invoices of every format, given to a validator of your own.

    python -m tests.documents --count 1000 --validator validate.sh

Each invoice is written as Factur-X (PDF), XRechnung and Peppol BIS 3 wherever the format takes it.
The validator is any program that takes files and exits with 0 when all of them are valid.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.documents.document_folder import DocumentFolder
from app.documents.einvoice import einvoice_xml
from app.documents.einvoice_gaps import EinvoiceFormat, EinvoiceIncomplete
from app.documents.facturx_pdf import embed_xml
from app.documents.invoice_view import invoice_view
from tests.documents.random_invoices import random_invoice
from tests.documents.samples import printed_view

# Files that the validator is given at once.
BATCH = 300


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.documents", description=__doc__)
    options.add_argument("--count", type=int, default=60)
    options.add_argument("--first", type=int, default=1, help="the first seed")
    options.add_argument("--validator", help="a program that takes files")
    options.add_argument("--folder", type=Path, help="keep the files here")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        made: Counter[str] = Counter()
        files = list(_written(folder, range(given.first, given.first + given.count), made))
        print(", ".join(f"{count} {name}" for name, count in sorted(made.items())), flush=True)
        return _validated(given.validator, files) if given.validator else 0


def _written(folder: Path, seeds: range, made: Counter[str]) -> Iterator[Path]:
    for seed in seeds:
        for kind in EinvoiceFormat:
            try:
                name, content = made_file(seed, kind)
            except EinvoiceIncomplete as incomplete:
                made[f"refused {kind} ({incomplete.gaps[0].split(':')[0]})"] += 1
                continue
            made[kind] += 1
            (folder / name).write_bytes(content)
            yield folder / name


def made_file(seed: int, kind: EinvoiceFormat) -> tuple[str, bytes]:
    """The name and the content of a seed's file."""
    document, seller = random_invoice(seed)
    xml = einvoice_xml(document, seller, kind)
    if kind != EinvoiceFormat.FACTUR_X:
        return f"{seed}-{kind}.xml", xml
    view = invoice_view(document, DocumentFolder(seller, None, {}))
    return f"{seed}-{kind}.pdf", embed_xml(printed_view(view), xml, str(view["language"]))


def _validated(validator: str, files: list[Path]) -> int:
    """Each batch's own exit code is looked at; the validator says what is wrong."""
    worst = 0
    for at in range(0, len(files), BATCH):
        batch = files[at : at + BATCH]
        answer = subprocess.run([validator, *batch], capture_output=True, text=True, check=False)
        bad = [one for one in answer.stdout.splitlines() if ": valid" not in one]
        print("\n".join(bad) if answer.returncode else bad[-1] if bad else "", flush=True)
        worst = max(worst, answer.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
