"""What writes each small resource: the API's routes and `paydue import` share it.

In an order in which records refer to earlier ones only.
"""

from collections.abc import Mapping

from app.halo.engine.crud import Writer, dated, writer
from app.halo.engine.resource import Resource
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
from app.ledger import composite_taxes, currency_history

WRITERS: Mapping[Resource, Writer] = {
    CURRENCIES: writer(CURRENCIES, currency_history.with_history),
    TAXES: writer(TAXES, finish=composite_taxes.link_rates),
    TAX_RULES: writer(TAX_RULES, finish=composite_taxes.keep_conditions),
    COST_CENTRES: writer(COST_CENTRES),
    BUDGET_TYPES: writer(BUDGET_TYPES),
    LOOKUPS: writer(LOOKUPS),
    CLIENTS: writer(CLIENTS),
    SITES: writer(SITES),
    CHARGE_RATES: writer(CHARGE_RATES),
    EXPENSES: writer(EXPENSES, dated("date_added")),
}
