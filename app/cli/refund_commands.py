"""The commands on money that is too much: payment refund, payment apply."""

import sys
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from app.cli.command_group import FAILED, run, settings_and_logs
from app.cli.terminal import amount as shown_amount, say, say_json
from app.errors import InvalidField
from app.ledger import assignment
from app.ledger.refund_requests import WantedRefund
from app.node import open_current_database, open_stripe_node
from app.storage.engines import Tx


class MoneyType(click.ParamType[Decimal]):
    """An exact amount in major units, such as 20.00."""

    name = "amount"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        try:
            found = Decimal(str(value))
        except InvalidOperation:
            found = Decimal("NaN")
        if not found.is_finite():
            self.fail(f"{value!r} is no amount such as 20.00", param, ctx)
        return found


MONEY = MoneyType()


@click.command("refund")
@click.argument("payment", metavar="INTENT|PAYMENT_ID")
@click.option(
    "--amount", type=MONEY, help="How much, such as 20.00; all that is left if not given."
)
@click.option("--invoice", "invoice_id", type=int, help="Only what this invoice has of it.")
@click.option("--reason", required=True, help="Why; it stands in the invoice's history.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def payment_refund(
    payment: str, amount: Decimal | None, invoice_id: int | None, reason: str, as_json: bool
) -> None:
    """Give back money of a payment: INTENT is a PaymentIntent, PAYMENT_ID an InvoicePayment.

    Of an InvoicePayment it is the money that its invoice has. Of a PaymentIntent it is the client's
    credit first, then the newest invoice's, unless --invoice names one. Exit code 1 when Stripe
    refuses, and when it gives no answer: then the worker asks until it does, and no second refund
    is ever made by it.
    """
    settings = settings_and_logs()
    wanted = WantedRefund(
        reason,
        "command line",
        payment_id=None if payment.startswith("pi_") else _payment_id(payment),
        intent_id=payment if payment.startswith("pi_") else None,
        invoice_id=invoice_id,
        amount=amount,
    )

    async def work() -> dict[str, Any]:
        async with open_stripe_node(settings) as node:
            return await node.refund(wanted)

    found = run(work())
    if as_json:
        say_json(found)
    else:
        much = shown_amount(found["amount"], found["currency"])
        why = f": {found['said']}" if found["said"] else ""
        say(f"refund request {found['id']} of {much} is {found['state']}{why}")
    if found["state"] not in ("succeeded", "pending"):
        sys.exit(FAILED)


@click.command("apply")
@click.argument("payment_id", type=int)
@click.argument("invoice_id", type=int)
@click.option("--amount", type=MONEY, help="How much, such as 20.00; what is owed if not given.")
def payment_apply(payment_id: int, invoice_id: int, amount: Decimal | None) -> None:
    """Apply the credit PAYMENT_ID to the invoice INVOICE_ID of the same client.

    PAYMENT_ID is an InvoicePayment without an invoice, as `payment find` shows it. The invoice
    takes what it owes; the rest stays the client's credit.
    """
    settings = settings_and_logs()

    async def apply(tx: Tx) -> None:
        now = datetime.now(UTC)
        await assignment.assign(
            tx, payment_id, invoice_id, now=now, who="command line", amount=amount
        )

    async def work() -> None:
        async with open_current_database(settings) as database:
            await database.with_retry(apply)

    run(work())
    say(f"payment {payment_id} is applied to invoice {invoice_id}")


def _payment_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidField("payment", f"{text!r} is neither a PaymentIntent nor an id")
    return int(text)
