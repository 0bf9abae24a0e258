"""GET /ChargeRate: the rates that apply, globally or to a client."""

from datetime import UTC, datetime

from sqlalchemy import and_, bindparam, func, or_

from app.halo.engine.resource import LIST, READ, Resource, equals, when_set
from app.halo.resources.passthrough import passthrough
from app.storage.column_types import Instant
from app.storage.tables.catalogue import ChargeRate

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
    wider=passthrough(
        flags="override_surcharge surcharge use_budget_rate useagentworkinghours",
        numbers="round ticket_id travel_surchargeid tree_id",
        texts="agentslist _warning",
        others="agents",
    ),
    on_request={"agents": "includedetails"},
)
