"""Acts on the ledger through its public functions, each in a transaction of its own."""

import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select

from app.errors import AppError
from app.ledger import assignment, invoicing, manual_payments, settlement, void_and_delete
from app.rules.claim import Evidence
from app.rules.home import Home
from app.rules.payment import PaymentReport, PaymentState, Reversal, ReversalKind
from app.storage.engines import Database, Tx
from app.storage.tables.clients import Currency
from tests.harness import CLIENTS, INVOICES, PAYMENTS

STARTED = datetime(2026, 3, 2, 9, tzinfo=UTC)
CREDIT_NOTE = 1


class LedgerActs:
    """Invoices, payments and their ways back; `who` and `now` are the same for all."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers = itertools.count(1)

    async def client(self, **columns: Any) -> int:
        number = next(self._numbers)
        values = {"name": f"C{number}", "inactive": False, "stripe_customer_id": f"cus_c{number}"}
        statement = insert(CLIENTS).values({**values, **columns}).returning(CLIENTS.c.id)
        return int(await self._do(lambda tx: tx.scalar(statement)))

    async def currency(self, code: str) -> int:
        statement = select(Currency.id).where(Currency.code == code)
        return int(await self._do(lambda tx: tx.scalar(statement)))

    async def invoice(self, total: int, **columns: Any) -> int:
        record = {"lines": [_line(total)], **columns}
        (invoice_id,) = await self._do(lambda tx: invoicing.save(tx, [record], **_SAID))
        return int(invoice_id)

    async def change(self, invoice_id: int, **columns: Any) -> None:
        if "total" in columns:
            columns["lines"] = [_line(columns.pop("total"))]
        record = {"id": invoice_id, **columns}
        await self._do(lambda tx: invoicing.save(tx, [record], **_SAID))

    async def void(self, invoice_id: int) -> None:
        await self._do(lambda tx: void_and_delete.void(tx, invoice_id, now=STARTED, who="tests"))

    async def delete(self, invoice_id: int) -> None:
        await self._do(lambda tx: void_and_delete.delete_invoice(tx, invoice_id, **_SAID))

    async def pay_by_hand(self, invoice_id: int, amount: int, **columns: Any) -> int:
        record = {"invoice_id": invoice_id, "amount": Decimal(amount), **columns}
        (payment_id,) = await self._do(lambda tx: manual_payments.save(tx, [record], **_SAID))
        return int(payment_id)

    async def delete_payment(self, payment_id: int) -> None:
        await self._do(lambda tx: void_and_delete.delete_payment(tx, payment_id, **_SAID))

    async def assign(self, payment_id: int, invoice_id: int | None) -> None:
        await self._do(
            lambda tx: assignment.assign(
                tx, payment_id, invoice_id, now=STARTED, who="tests", is_other_client=True
            )
        )

    async def report(
        self, intent_id: str, amount: int, state: PaymentState | None, **more: Any
    ) -> None:
        """Stripe reports an intent, each time a second later than before."""
        at = STARTED + timedelta(seconds=next(self._numbers))
        amounts = {} if state is None else {"amount": Decimal(amount), "state": state}
        one = PaymentReport(intent_id, at, more.pop("currency", "usd"), **amounts, **more)
        await self._do(lambda tx: settlement.record(tx, [one], now=STARTED, who="stripe"))

    async def pay(self, invoice_id: int, amount: int) -> str:
        """A payment of our own metadata, which succeeded."""
        intent_id = f"pi_j{next(self._numbers)}"
        await self.report(
            intent_id, amount, PaymentState.SUCCEEDED,
            invoice_id=invoice_id, evidence=Evidence.METADATA,
        )  # fmt: skip
        return intent_id

    async def refund(self, intent_id: str, amount: int, status: str = "succeeded") -> None:
        back = Reversal(f"re_{intent_id}", ReversalKind.REFUND, Decimal(amount), status)
        await self.report(intent_id, 0, None, reversal=back)

    async def dispute(self, intent_id: str, amount: int, status: str) -> None:
        back = Reversal(f"du_{intent_id}", ReversalKind.DISPUTE, Decimal(amount), status)
        await self.report(intent_id, 0, None, reversal=back)

    async def _do(self, work: Callable[[Tx], Awaitable[Any]]) -> Any:
        return await self._database.with_retry(work)


_SAID: dict[str, Any] = {"now": STARTED, "who": "tests", "home": Home("usd", "UTC")}


def _line(total: int) -> dict[str, Any]:
    return {"qty_order": Decimal(1), "unit_price": Decimal(total)}


class RandomActs:
    """A sequence of acts that a seed decides; some of them the ledger refuses."""

    def __init__(self, database: Database, seed: int) -> None:
        self.acts = LedgerActs(database)
        self.done: list[str] = []
        self._database = database
        self._random = random.Random(seed)
        self._clients: list[int] = []
        self._currencies: list[int] = []
        self._intents: list[str] = []

    async def begin(self) -> None:
        self._clients = [await self.acts.client() for _ in range(2)]
        self._currencies = [await self.acts.currency(code) for code in ("usd", "eur")]
        for _ in range(3):
            await self._new_invoice()

    async def act(self) -> None:
        act = self._random.choice(
            [
                self._new_invoice, self._new_note, self._change, self._move, self._convert,
                self._void, self._delete, self._pay, self._pay, self._pay_nobody, self._pay_by_hand,
                self._pay_by_hand, self._pay_by_note, self._delete_payment, self._assign,
                self._assign, self._refund, self._refund, self._dispute, self._dispute,
            ]
        )  # fmt: skip
        try:
            await act()
            self.done.append(act.__name__)
        except AppError as error:
            self.done.append(f"{act.__name__}: {error.message}")

    def _amount(self) -> int:
        return self._random.choice([10, 20, 50, 100])

    async def _some_id(self, table: Any, *where: Any) -> int:
        async with self._database.snapshot() as tx:
            ids = list(await tx.scalars(select(table.c.id).where(*where).order_by(table.c.id)))
        return self._random.choice(ids) if ids else 0

    async def _invoice(self) -> int:
        return await self._some_id(INVOICES)

    def _intent(self) -> str:
        return self._random.choice(self._intents or ["pi_unknown"])

    async def _new_invoice(self) -> None:
        await self.acts.invoice(self._amount(), client_id=self._random.choice(self._clients))

    async def _new_note(self) -> None:
        client = self._random.choice(self._clients)
        await self.acts.invoice(self._amount(), client_id=client, invoicetype=CREDIT_NOTE)

    async def _change(self) -> None:
        await self.acts.change(await self._invoice(), total=self._amount())

    async def _move(self) -> None:
        client = self._random.choice(self._clients)
        await self.acts.change(await self._invoice(), client_id=client)

    async def _convert(self) -> None:
        currency = self._random.choice(self._currencies)
        await self.acts.change(await self._invoice(), currency_code=currency)

    async def _void(self) -> None:
        await self.acts.void(await self._invoice())

    async def _delete(self) -> None:
        await self.acts.delete(await self._invoice())

    async def _pay(self) -> None:
        self._intents.append(await self.acts.pay(await self._invoice(), self._amount()))

    async def _pay_nobody(self) -> None:
        intent = f"pi_nobody{len(self._intents)}"
        await self.acts.report(intent, self._amount(), PaymentState.SUCCEEDED)
        self._intents.append(intent)

    async def _pay_by_hand(self) -> None:
        await self.acts.pay_by_hand(await self._invoice(), self._amount())

    async def _pay_by_note(self) -> None:
        note = await self._some_id(INVOICES, INVOICES.c.invoicetype == CREDIT_NOTE)
        await self.acts.pay_by_hand(await self._invoice(), 10, credit_note_id=note)

    async def _delete_payment(self) -> None:
        await self.acts.delete_payment(await self._some_id(PAYMENTS))

    async def _assign(self) -> None:
        invoice = self._random.choice([None, await self._invoice()])
        await self.acts.assign(await self._some_id(PAYMENTS), invoice)

    async def _refund(self) -> None:
        status = self._random.choice(["pending", "succeeded", "failed"])
        await self.acts.refund(self._intent(), self._amount(), status)

    async def _dispute(self) -> None:
        status = self._random.choice(["needs_response", "lost", "won"])
        await self.acts.dispute(self._intent(), self._amount(), status)
