"""Whatever a template does, it reads no file of others, asks no network, and ends in time."""

from pathlib import Path

import pytest

from app.documents.typst_process import DocumentFailed, PrintJob, TypstProcess
from tests.documents.samples import PRINTED_AT, invoice, line, printed, text_of

ENDLESS = "#for i in range(9000) { for j in range(9000) { let x = calc.sin(i * j) } }"
GREEDY = "#let a = range(300000000)\n#a.len()"


def job(folder: Path, template: str) -> PrintJob:
    (folder / "own.typ").write_text(template)
    return PrintJob(folder, "own.typ", {"name": "Ada"}, PRINTED_AT)


def test_a_template_reads_nothing_outside_its_folder_and_asks_no_network(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("whsec")
    process = TypstProcess()

    said = {}
    for template in (
        '#read("/etc/passwd")',
        '#read("../secret.txt")',
        '#image("/../secret.txt")',
        '#import "@preview/cetz:0.3.0": *',
        '#sys.inputs.environment',
    ):  # fmt: skip
        with pytest.raises(DocumentFailed) as failed:
            process.print(job(folder, template))
        said[template[:9]] = failed.value.message
    process.close()

    assert "file not found" in said['#read("/e']
    assert "escape the project root" in said['#read("..']
    assert "escape the project root" in said['#image("/']
    assert "failed to download package" in said['#import "']


@pytest.mark.slow
def test_a_document_without_end_or_measure_ends_its_process_and_no_other(tmp_path: Path) -> None:
    process = TypstProcess(time_limit_s=4)

    for template in (ENDLESS, GREEDY):
        with pytest.raises(DocumentFailed, match="too much memory"):
            process.print(job(tmp_path, template))
    content = process.print(job(tmp_path, "#json(bytes(sys.inputs.data)).name"))
    process.close()

    assert text_of(content).strip() == "Ada"


def test_an_error_of_a_template_is_told_with_its_place(tmp_path: Path) -> None:
    process = TypstProcess()

    with pytest.raises(DocumentFailed, match=r"own\.typ has an error.*unknown variable: naem"):
        process.print(job(tmp_path, "hello\n#naem"))
    process.close()


def test_a_letter_that_no_font_has_is_a_visible_box() -> None:
    text = text_of(printed(invoice([line(title="before \U000f1234\U00010ffe after")])))

    assert "before \u25a1\u25a1 after" in text
