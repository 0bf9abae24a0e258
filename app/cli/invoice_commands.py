"""The commands that print: invoices, e-invoices and statements as files."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import say
from app.documents import printer
from app.documents.document_content import DocumentKind, InvoiceDocument
from app.documents.einvoice_gaps import EinvoiceFormat
from app.documents.invoice_document import load_invoice_document
from app.documents.languages import LANGUAGES
from app.documents.statement_document import StatementDocument, load_statement_document
from app.ledger.invoice_states import InvoiceMark, mark_invoice
from app.node import open_current_database
from app.rules.home import home_of
from app.settings import Settings
from app.storage.engines import Tx

_language = click.option(
    "--language", type=click.Choice(LANGUAGES), help="Instead of the client's own."
)
_output = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write."
)
_day = click.DateTime(["%Y-%m-%d"])


@click.group()
def invoice() -> None:
    """Print invoices, receipts and statements, write e-invoices, and mark their states."""


@invoice.command("pdf")
@click.argument("invoice_id", type=int)
@click.option("--receipt", is_flag=True, help="The receipt of its payments instead.")
@_language
@_output
def invoice_pdf(
    invoice_id: int, *, receipt: bool, language: str | None, output: Path | None
) -> None:
    """Print the invoice or credit note INVOICE_ID as PDF/A-3b."""
    settings = settings_and_logs()
    kind = DocumentKind.RECEIPT.value if receipt else ""
    document = run(_invoice(settings, invoice_id))
    content = printer.print_invoice(
        document,
        settings.documents_folder,
        now=datetime.now(UTC),
        language=language or "",
        kind=kind,
    )
    _write(output or Path(f"{kind or document.kind}-{invoice_id}.pdf"), content)


@invoice.command("mark")
@click.argument("invoice_id", type=int)
@click.argument("state", type=click.Choice([str(one) for one in InvoiceMark]))
@click.option("--who", required=True, help="Your name, for the audit.")
def invoice_mark(invoice_id: int, state: str, who: str) -> None:
    """Mark INVOICE_ID as reviewed, approved, sent or posted, or as one that waits for it.

    One that must be reviewed or approved is neither sent nor posted before that.
    """
    settings = settings_and_logs()
    changed = run(_mark(settings, invoice_id, InvoiceMark(state), who))
    say(f"Invoice {invoice_id} is marked {state}." if changed else "It was so already.")


async def _mark(settings: Settings, invoice_id: int, mark: InvoiceMark, who: str) -> bool:
    async def work(tx: Tx) -> bool:
        now = datetime.now(UTC)
        return await mark_invoice(tx, invoice_id, mark, now=now, who=who, home=home_of(settings))

    async with open_current_database(settings) as database:
        return await database.with_retry(work)


@invoice.command("einvoice")
@click.argument("invoice_id", type=int)
@click.option(
    "--format", "kind", type=click.Choice([str(one) for one in EinvoiceFormat]), required=True,
    help="Factur-X is ZUGFeRD too, a PDF; the others are XML.",
)  # fmt: skip
@_output
def invoice_einvoice(invoice_id: int, *, kind: str, output: Path | None) -> None:
    """Write the e-invoice of INVOICE_ID. What its data lacks is told field by field."""
    settings = settings_and_logs()
    document = run(_invoice(settings, invoice_id))
    folder, wanted = settings.documents_folder, EinvoiceFormat(kind)
    writes: Callable[[], bytes] = partial(printer.write_einvoice, document, folder, wanted)
    if wanted == EinvoiceFormat.FACTUR_X:
        writes = partial(printer.print_factur_x, document, folder, now=datetime.now(UTC))
    ending = "pdf" if wanted == EinvoiceFormat.FACTUR_X else "xml"
    _write(output or Path(f"{wanted}-{invoice_id}.{ending}"), writes())


@invoice.command("statement")
@click.argument("client_id", type=int)
@click.option("--from", "first", type=_day, required=True, metavar="DAY", help="The first day.")
@click.option("--to", "last", type=_day, required=True, metavar="DAY", help="The last day.")
@click.option("--currency", default="", help="Its ISO code, where the client has several.")
@_language
@_output
def invoice_statement(
    client_id: int, *, first: datetime, last: datetime, currency: str, language: str | None,
    output: Path | None,
) -> None:  # fmt: skip
    """Print the statement of account of the client CLIENT_ID from DAY to DAY, both included."""
    settings = settings_and_logs()
    now = datetime.now(UTC)

    async def work() -> StatementDocument:
        async with open_current_database(settings) as database, database.snapshot() as tx:
            return await load_statement_document(
                tx,
                client_id,
                (first.date(), last.date()),
                timezone=settings.timezone,
                now=now,
                currency=currency,
            )

    document = run(work())
    content = printer.print_statement(
        document, settings.documents_folder, now=now, language=language or ""
    )
    _write(output or Path(f"statement-{client_id}.pdf"), content)


async def _invoice(settings: Settings, invoice_id: int) -> InvoiceDocument:
    async with open_current_database(settings) as database, database.snapshot() as tx:
        return await load_invoice_document(tx, invoice_id, settings.timezone)


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise click.FileError(str(file), error.strerror) from None
    say(f"{file}: {len(content)} bytes")
