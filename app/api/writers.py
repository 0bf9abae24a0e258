"""What writes each small resource: the API's routes and `paydue import` share it.

In an order in which records refer to earlier ones only.
"""

from collections.abc import Mapping

from app.api.writing import Writer, dated, writer
from app.data.budget_type_resource import BUDGET_TYPES
from app.data.charge_rate_resource import CHARGE_RATES
from app.data.client_resource import CLIENTS
from app.data.cost_centre_resource import COST_CENTRES
from app.data.currency_resource import CURRENCIES
from app.data.expense_resource import EXPENSES
from app.data.lookup_resource import LOOKUPS
from app.data.resource import Resource
from app.data.site_resource import SITES
from app.data.tax_resource import TAXES
from app.data.tax_rule_resource import TAX_RULES
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
