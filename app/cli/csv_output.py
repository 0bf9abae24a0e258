"""Rows as CSV on the standard output."""

from collections.abc import Iterable, Sequence

import click

from app.rules.spreadsheet import Cell, csv_text


def print_csv(rows: Iterable[Sequence[Cell]]) -> None:
    """Print the lines of these rows on the standard output."""
    click.echo(csv_text(rows), nl=False)
