"""GET /ChargeRate: the rates that apply, globally or to a client."""

from datetime import UTC, datetime

from sqlalchemy import and_, bindparam, func, or_

from app.halo.engine.filters import Equals, References, WhenSet
from app.halo.engine.parsing import reference
from app.halo.engine.resource import LIST, READ, Derived, Field, Input, Listing, Output, Resource
from app.halo.resources.passthrough import passthrough
from app.halo.resources.shared_fields import ID
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
    fields={
        "id": ID,
        "area": Field("The client's `id`; 0 for a rate that is every client's.", reference),
        "contract_id": Field("The contract's number; 0 for a rate of no contract."),
        "charge_id": Field("The charge type: `id` of a lookup of list 17."),
        "org": Field("HaloPSA's number of an organisation; -1 for all of them."),
        "startdate": Field("The rate is current from this moment on; always, without it."),
        "expirydate": Field("The rate is current before this moment; for good, without it."),
        "rate": Field("The price of an hour, of lines whose `actioncode` is its `charge_id`."),
        "rateoverride": Field("The price of an hour that stands in place of `rate`."),
        "mileage_rate": Field("The price of a mile, or of a kilometre."),
        "minimum": Field("The least that is charged, in hours."),
        "increment": Field("The steps in which time is charged, in hours."),
        "oohmultiplier": Field("The factor for work out of hours."),
        "holidaymultiplier": Field("The factor for work on holidays."),
        "weekendmultiplier": Field("The factor for work at weekends."),
        "contractmultiplier": Field("The factor for work under a contract."),
        "use_for_travel": Field("Whether the rate is for travel."),
        "use_for_mileage": Field("Whether the rate is for mileage."),
    },
    listing=Listing(
        filters={
            "chargerate_id": Equals(ChargeRate.id),
            "client_id": References(ChargeRate.area),
            "contract_id": Equals(ChargeRate.contract_id),
            "currentonly": WhenSet(_IS_CURRENT),
            "globalonly": WhenSet(_IS_GLOBAL),
        }
    ),
    output=Output(
        derived={
            "current": Derived("Whether the rate is current at this moment.", _IS_CURRENT),
            "current_rate": Derived(
                "The price of an hour that applies: `rateoverride`, else `rate`.",
                func.coalesce(ChargeRate.rateoverride, ChargeRate.rate),
            ),
        },
        sentinels={"area": 0},
        on_request={"agents": "includedetails"},
    ),
    input=Input(
        passthrough=passthrough(
            flags="override_surcharge surcharge use_budget_rate useagentworkinghours",
            numbers="round ticket_id travel_surchargeid tree_id",
            texts="agentslist _warning",
            others="agents",
        )
    ),
)
