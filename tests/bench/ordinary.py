"""The ordinary way: construct_event, then an ORM session and a commit for each request."""

import contextlib
import os

import stripe
from sqlalchemy import LargeBinary, event, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SECRET = os.environ["STRIPE_WEBHOOK_SECRET"]
engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ['BENCH_DATABASE']}", pool_size=1,
                             max_overflow=0, pool_timeout=60)  # fmt: skip
Session = async_sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine.sync_engine, "connect")
def configured(connection, _) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


class Row(DeclarativeBase):
    pass


class Event(Row):
    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str]
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class Payment(Row):
    __tablename__ = "payment"
    id: Mapped[int] = mapped_column(primary_key=True)
    intent_id: Mapped[str] = mapped_column(unique=True)
    invoice_id: Mapped[int] = mapped_column(index=True)
    amount: Mapped[int]


class Invoice(Row):
    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(primary_key=True)
    amountpaid: Mapped[int] = mapped_column(default=0)


async def webhook(request: Request) -> Response:
    body = await request.body()
    received = stripe.Webhook.construct_event(body, request.headers["stripe-signature"], SECRET)
    intent = received.data.object
    async with Session() as session:
        if await session.scalar(select(Event).where(Event.event_id == received.id)) is None:
            session.add(Event(event_id=received.id, type=received.type, payload=body))
            payment = await session.scalar(select(Payment).where(Payment.intent_id == intent.id))
            if payment is None:
                invoice = await session.get_one(Invoice, int(intent.metadata["invoice_id"]))
                session.add(Payment(intent_id=intent.id, invoice_id=invoice.id,
                                    amount=intent.amount_received))  # fmt: skip
                invoice.amountpaid += intent.amount_received
            await session.commit()
    return Response(b'{"received":true}')


async def made() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Row.metadata.create_all)
    async with Session() as session:
        session.add_all(Invoice(id=number) for number in range(1, 1001))
        await session.commit()


@contextlib.asynccontextmanager
async def lifespan(_: Starlette):
    await made()
    yield
    await engine.dispose()


app = Starlette(routes=[Route("/stripe/webhook", webhook, methods=["POST"])], lifespan=lifespan)
