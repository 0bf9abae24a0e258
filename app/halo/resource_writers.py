"""The Writer of each small resource; the API's routes and `paydue import` share them.

Records refer only to records of the resources above their own.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from app.halo.engine.crud import Writer, dated_on_creation, resource_writer
from app.halo.engine.resource import Resource
from app.halo.resources.autopay_limit_resource import AUTOPAY_LIMITS
from app.halo.resources.autopay_rule_resource import AUTOPAY_RULES
from app.halo.resources.budget_type_resource import BUDGET_TYPES
from app.halo.resources.charge_rate_resource import CHARGE_RATES
from app.halo.resources.client_resource import CLIENTS
from app.halo.resources.cost_centre_resource import COST_CENTRES
from app.halo.resources.currency_resource import CURRENCIES
from app.halo.resources.expense_resource import EXPENSES
from app.halo.resources.lookup_resource import LOOKUPS
from app.halo.resources.site_resource import SITES
from app.halo.resources.tax_resource import TAXES
from app.halo.resources.tax_rule_resource import TAX_RULES
from app.ledger import autopay_policy, composite_taxes, currency_history, settlement
from app.rules.home import Home
from app.storage.engines import Tx
from app.storage.rows import InputRecord

_write_clients = resource_writer(CLIENTS)


async def save_clients(
    tx: Tx, records: Sequence[InputRecord], *, now: datetime, who: str, home: Home
) -> list[int]:
    """Clients as any resource; what their Stripe customers have paid before is theirs from now."""
    ids = await _write_clients(tx, records, now=now, who=who, home=home)
    customers = {str(one["stripe_customer_id"]) for one in records if one.get("stripe_customer_id")}
    await settlement.follow_customers(tx, customers, now=now, who=who)
    return ids


WRITERS: Mapping[Resource, Writer] = {
    CURRENCIES: resource_writer(CURRENCIES, currency_history.with_rate_history),
    TAXES: resource_writer(TAXES, finish=composite_taxes.write_linked_rates),
    TAX_RULES: resource_writer(TAX_RULES, finish=composite_taxes.write_conditions),
    COST_CENTRES: resource_writer(COST_CENTRES),
    BUDGET_TYPES: resource_writer(BUDGET_TYPES),
    LOOKUPS: resource_writer(LOOKUPS),
    CLIENTS: save_clients,
    SITES: resource_writer(SITES),
    CHARGE_RATES: resource_writer(CHARGE_RATES),
    AUTOPAY_RULES: resource_writer(AUTOPAY_RULES, finish=autopay_policy.finish_rules),
    AUTOPAY_LIMITS: resource_writer(AUTOPAY_LIMITS, finish=autopay_policy.finish_limits),
    EXPENSES: resource_writer(EXPENSES, dated_on_creation("date_added")),
}
