"""What writes each small resource: the API's routes and `paydue import` share it.

In an order in which records refer to earlier ones only.
"""

from collections.abc import Mapping

from app.api.writing import Writer, dated, writer
from app.data.catalogue import BUDGET_TYPES, CHARGE_RATES, COST_CENTRES
from app.data.clients import CLIENTS, CURRENCIES, SITES
from app.data.expenses import EXPENSES
from app.data.lookups import LOOKUPS
from app.data.resource import Resource
from app.data.taxes import TAX_RULES, TAXES
from app.ledger import exchange, taxing

WRITERS: Mapping[Resource, Writer] = {
    CURRENCIES: writer(CURRENCIES, exchange.with_history),
    TAXES: writer(TAXES, finish=taxing.link_rates),
    TAX_RULES: writer(TAX_RULES, finish=taxing.keep_conditions),
    COST_CENTRES: writer(COST_CENTRES),
    BUDGET_TYPES: writer(BUDGET_TYPES),
    LOOKUPS: writer(LOOKUPS),
    CLIENTS: writer(CLIENTS),
    SITES: writer(SITES),
    CHARGE_RATES: writer(CHARGE_RATES),
    EXPENSES: writer(EXPENSES, dated("date_added")),
}
