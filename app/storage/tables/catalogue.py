"""Charge rates, budget types and cost centres, by which invoices are priced and sorted."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Number, Ref, Row


class CostCentre(Row):
    __tablename__ = "cost_centre"

    id: Mapped[Id]
    name: Mapped[str]
    chargeable: Mapped[bool] = mapped_column(default=False)
    addr1: Mapped[str | None]
    addr2: Mapped[str | None]
    addr3: Mapped[str | None]
    addr4: Mapped[str | None]
    extra: Mapped[Any | None] = mapped_column(Json)


class BudgetType(Row):
    __tablename__ = "budget_type"

    id: Mapped[Id]
    name: Mapped[str]
    defaultrate: Mapped[Number | None]
    chargerate: Mapped[int | None]
    # No published property, but the parameter that filters by it is.
    ticket_id: Mapped[int | None]
    extra: Mapped[Any | None] = mapped_column(Json)


class ChargeRate(Row):
    __tablename__ = "charge_rate"

    id: Mapped[Id]
    # HaloPSA's word for a client; without one the rate is everybody's.
    area: Mapped[Ref | None] = mapped_column(ForeignKey("client.id"), index=True)
    contract_id: Mapped[Ref] = mapped_column(default=0)
    charge_id: Mapped[Ref] = mapped_column(default=0)
    org: Mapped[int] = mapped_column(default=-1)
    startdate: Mapped[datetime | None]
    expirydate: Mapped[datetime | None]
    rate: Mapped[Number] = mapped_column(default=Decimal(0))
    rateoverride: Mapped[Number | None]
    mileage_rate: Mapped[Number | None]
    minimum: Mapped[Number | None]
    increment: Mapped[Number | None]
    oohmultiplier: Mapped[Number | None]
    holidaymultiplier: Mapped[Number | None]
    weekendmultiplier: Mapped[Number | None]
    contractmultiplier: Mapped[Number | None]
    use_for_travel: Mapped[bool] = mapped_column(default=True)
    use_for_mileage: Mapped[bool] = mapped_column(default=True)
    extra: Mapped[Any | None] = mapped_column(Json)
