"""What invoices are priced and sorted by: charge rates, budget types, cost centres."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, and_, bindparam, func, or_
from sqlalchemy.orm import Mapped, mapped_column

from app.data.columns import HIDDEN, Id, Instant, Json, Ref, Row
from app.data.resource import ALL_VERBS, LIST, READ, Resource, equals, when_set
from app.data.wider import known


class CostCentre(Row):
    __tablename__ = "cost_centre"

    id: Mapped[Id]
    name: Mapped[str]
    chargeable: Mapped[bool] = mapped_column(default=False)
    addr1: Mapped[str | None]
    addr2: Mapped[str | None]
    addr3: Mapped[str | None]
    addr4: Mapped[str | None]
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


class BudgetType(Row):
    __tablename__ = "budget_type"

    id: Mapped[Id]
    name: Mapped[str]
    defaultrate: Mapped[Decimal | None]
    chargerate: Mapped[int | None]
    # No published property, but the parameter that filters by it is.
    ticket_id: Mapped[int | None]
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


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
    rate: Mapped[Decimal] = mapped_column(default=Decimal(0))
    rateoverride: Mapped[Decimal | None]
    mileage_rate: Mapped[Decimal | None]
    minimum: Mapped[Decimal | None]
    increment: Mapped[Decimal | None]
    oohmultiplier: Mapped[Decimal | None]
    holidaymultiplier: Mapped[Decimal | None]
    weekendmultiplier: Mapped[Decimal | None]
    contractmultiplier: Mapped[Decimal | None]
    use_for_travel: Mapped[bool] = mapped_column(default=True)
    use_for_mileage: Mapped[bool] = mapped_column(default=True)
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


COST_CENTRES = Resource(
    path="CostCentres", table=CostCentre, verbs=ALL_VERBS, wider=known(texts="_warning")
)

BUDGET_TYPES = Resource(
    path="BudgetType",
    table=BudgetType,
    verbs=ALL_VERBS,
    filters={"ticket_id": equals(BudgetType.ticket_id)},
    wider=known(texts="_warning"),
)

# When a statement runs, not when it was built: it is built once and used again and again.
_NOW = bindparam("now", callable_=lambda: datetime.now(UTC), type_=Instant())
_IS_CURRENT = and_(
    or_(ChargeRate.startdate.is_(None), ChargeRate.startdate <= _NOW),
    or_(ChargeRate.expirydate.is_(None), ChargeRate.expirydate > _NOW),
)
_IS_GLOBAL = and_(ChargeRate.area.is_(None), ChargeRate.contract_id == 0)

CHARGE_RATES = Resource(
    path="ChargeRate",
    table=ChargeRate,
    verbs=(LIST, READ),
    filters={
        "chargerate_id": equals(ChargeRate.id),
        "client_id": equals(ChargeRate.area),
        "contract_id": equals(ChargeRate.contract_id),
        "currentonly": when_set(_IS_CURRENT),
        "globalonly": when_set(_IS_GLOBAL),
    },
    derived={
        "current": _IS_CURRENT,
        "current_rate": func.coalesce(ChargeRate.rateoverride, ChargeRate.rate),
    },
    sentinels={"area": 0},
    wider=known(
        flags="override_surcharge surcharge use_budget_rate useagentworkinghours",
        numbers="round ticket_id travel_surchargeid tree_id",
        texts="agentslist _warning",
        others="agents",
    ),
    on_request={"agents": "includedetails"},
)
