"""How many documents a second does one core print, beside Chromium and fpdf2?

    python -m tests.bench.documents                  50 invoices of 10 lines
    python -m tests.bench.documents --count 200 --lines 30

Counted are the seconds that the processor was at work, those of children included, so that a busy
machine says the same as an idle one. Chromium prints the same texts from a page of HTML, in a
browser that is open already; fpdf2 prints them line by line. Neither makes PDF/A or knows what an
e-invoice is. Who has no Chromium, or no fpdf2 (`pip install fpdf2`), is told so.
"""

import argparse
import asyncio
import contextlib
import html
import importlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from app.documents.document_content import InvoiceDocument
from app.documents.einvoice import einvoice_xml
from app.documents.einvoice_gaps import EinvoiceFormat
from app.documents.facturx_pdf import embed_xml
from app.documents.invoice_view import View, invoice_view
from app.documents.typst_process import FONTS, TypstProcess
from tests.documents import samples

# The first of each kind loads fonts, templates and schemas; it is not counted.
WARM = 3
FONT = FONTS / "PaydueSans-Regular.ttf"


def invoices(count: int, lines: int) -> Iterator[InvoiceDocument]:
    """Invoices of which no two are alike, so that nothing remembers one of them."""
    for number in range(count):
        yield replace(samples.invoice(lines), id=number + 1, number=f"RE-2026-{number:05}")


def view_of(document: InvoiceDocument) -> View:
    return invoice_view(document, samples.FOLDER)


def texts(view: View) -> Iterator[Sequence[str]]:
    """The rows that the document prints, as texts alone."""
    yield [str(view["title"]), str(view["number"])]
    for party in ("seller", "buyer"):
        shown: Any = view[party]
        yield [shown["name"], *shown["lines"]]
    facts: Any = view["facts"]
    totals: Any = view["totals"]
    yield from [*facts, *totals]
    lines: Any = view["lines"]
    for line in lines:
        yield [str(value) for value in line.values() if isinstance(value, str) and value]


# --- ours --------------------------------------------------------------------------------------


def printed(process: TypstProcess, document: InvoiceDocument) -> bytes:
    job = samples.PrintJob(samples.TEMPLATES, "invoice.typ", view_of(document), samples.PRINTED_AT)
    return process.print(job)


def factur_x(process: TypstProcess, document: InvoiceDocument) -> bytes:
    xml = einvoice_xml(document, samples.SELLER, EinvoiceFormat.FACTUR_X)
    return embed_xml(printed(process, document), xml, "de")


def rate(documents: Sequence[InvoiceDocument], make: Callable[[InvoiceDocument], bytes]) -> float:
    for one in documents[:WARM]:
        assert make(one)
    began = processor_seconds()
    for one in documents[WARM:]:
        assert make(one)
    return (len(documents) - WARM) / (processor_seconds() - began)


def processor_seconds() -> float:
    """Of this process and of all that descend from it and live."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            process = int(stat.parent.name)
            parents[process], ticks[process] = int(fields[1]), int(fields[11]) + int(fields[12])
    return sum(spent for one, spent in ticks.items() if _is_ours(one, parents)) / _TICKS


_TICKS = os.sysconf("SC_CLK_TCK")


def _is_ours(process: int, parents: Mapping[int, int]) -> bool:
    while process in parents and process != os.getpid():
        process = parents[process]
    return process == os.getpid()


# --- theirs ------------------------------------------------------------------------------------


def page(view: View) -> str:
    """The same texts as a page of HTML with the same font, a table of the lines and a logo."""
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
        for row in texts(view)
    )
    font = FONT.as_uri()
    style = (
        f"@font-face{{font-family:P;src:url({font})}}@page{{size:A4;margin:20mm}}"
        "body{font:10pt P,sans-serif}table{width:100%;border-collapse:collapse}"
        "td{border-bottom:1px solid #ccc;padding:3pt;vertical-align:top}"
    )
    return f"<style>{style}</style>{samples.SVG.decode()}<table>{rows}</table>"


async def chromium_rate(documents: Sequence[InvoiceDocument]) -> float | None:
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        tab = await browser.new_page()

        async def make(one: InvoiceDocument) -> bytes:
            await tab.set_content(page(view_of(one)))
            return await tab.pdf(format="A4")

        found = await _rate_of(documents, make)
        await browser.close()
        return found


async def _rate_of(
    documents: Sequence[InvoiceDocument], make: Callable[[InvoiceDocument], Awaitable[bytes]]
) -> float:
    for one in documents[:WARM]:
        assert await make(one)
    began = processor_seconds()
    for one in documents[WARM:]:
        assert await make(one)
    return (len(documents) - WARM) / (processor_seconds() - began)


def fpdf2_rate(documents: Sequence[InvoiceDocument]) -> float | None:
    try:
        fpdf: Any = importlib.import_module("fpdf")
    except ImportError:
        return None

    def make(one: InvoiceDocument) -> bytes:
        pdf = fpdf.FPDF(format="A4")
        pdf.add_font("P", fname=str(FONT))
        pdf.set_font("P", size=10)
        pdf.add_page()
        for row in texts(view_of(one)):
            pdf.multi_cell(0, 5, "   ".join(row), new_x="LMARGIN", new_y="NEXT")
        return bytes(pdf.output())

    return rate(documents, make)


# --- the report --------------------------------------------------------------------------------


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=50)
    options.add_argument("--lines", type=int, default=10)
    asked = options.parse_args()
    documents = list(invoices(asked.count + WARM, asked.lines))
    process = TypstProcess()
    ours = rate(documents, lambda one: printed(process, one))
    with_xml = rate(documents, lambda one: factur_x(process, one))
    process.close()
    print(f"{asked.count} invoices of {asked.lines} lines, a second of one core")
    print(f"PDF/A-3b: {ours:.1f}/s, Factur-X: {with_xml:.1f}/s")
    for kind in (EinvoiceFormat.XRECHNUNG, EinvoiceFormat.PEPPOL):
        found = rate(documents, partial(einvoice_xml, seller=samples.SELLER, kind=kind))
        print(f"{kind}: {found:.1f}/s")
    theirs = {
        "headless Chromium": asyncio.run(chromium_rate(documents)),
        "fpdf2": fpdf2_rate(documents),
    }
    for name, found_rate in theirs.items():
        if found_rate is None:
            print(f"{name}: not installed")
        else:
            print(f"{name}: {found_rate:.1f}/s; ours is {ours / found_rate:.2f} of it")


if __name__ == "__main__":
    main()
