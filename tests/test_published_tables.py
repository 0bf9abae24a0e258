"""Every row of the published tables is true: endpoints, parameters, properties.

Tests fail when a row has no check. How many rows were checked stands in pytest's summary.
"""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from tests.published import (
    endpoints,
    invoice_properties,
    parameters,
    small_properties,
    wider_properties,
)
from tests.published.contract import ENDPOINTS, PARAMETERS, SCHEMAS, Parameter, properties
from tests.published.scene import Scene
from tests.service import Service

pytestmark = pytest.mark.anyio

Told = Callable[[str, int], None]
PropertyCheck = Callable[[Service], Awaitable[list[str]]]

PROPERTIES: dict[str, Sequence[PropertyCheck]] = {
    "Costcentres": [small_properties.cost_centre],
    "Currency": [small_properties.currency],
    "Expense": [small_properties.expense],
    "InvoiceChange": [small_properties.change],
    "InvoiceDetail": [
        invoice_properties.lines_of_invoices,
        invoice_properties.lines_of_templates,
        invoice_properties.worked_out_of_line,
    ],
    "InvoiceHeader": [
        invoice_properties.kept_of_invoices,
        invoice_properties.kept_of_templates,
        invoice_properties.worked_out_of_invoice,
    ],
    "InvoiceHeader_View": [invoice_properties.view],
    "InvoicePayment_List": [
        invoice_properties.kept_of_payment,
        invoice_properties.worked_out_of_payment,
    ],
    "Tax": [small_properties.tax],
    "TaxRule": [small_properties.tax_rule],
}

WIDER: dict[str, Callable[[Service], Awaitable[int]]] = {
    "BudgetType": wider_properties.of_budget_types,
    "Costcentres": wider_properties.of_cost_centres,
    "Expense": wider_properties.of_expenses,
    "InvoiceChange": wider_properties.of_changes,
    "InvoiceDetail": wider_properties.of_lines,
    "InvoiceHeader": wider_properties.of_invoices,
    "InvoiceHeader of a template": wider_properties.of_templates,
    "InvoicePayment_List": wider_properties.of_payments,
    "Tax": wider_properties.of_taxes,
}


@pytest.fixture
def told(request: pytest.FixtureRequest, service: Service) -> Told:
    """Counts rows that hold, for the summary."""
    engine = service.database.url.get_backend_name()

    def count(what: str, number: int) -> None:
        request.node.user_properties.append(("published_rows", [engine, what, number]))

    return count


def test_every_row_has_a_check() -> None:
    assert len(ENDPOINTS) == 47
    assert endpoints.CHECKS.keys() >= ENDPOINTS.keys()
    assert [one for one in PARAMETERS if one not in parameters.CHECKS] == []
    published = {schema for schema in SCHEMAS if properties(schema)}
    assert published == PROPERTIES.keys()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_every_endpoint_answers(service: Service, endpoint: str, told: Told) -> None:
    await endpoints.CHECKS[endpoint](service)
    told("endpoints", 1)


@pytest.mark.parametrize("row", PARAMETERS, ids=lambda row: f"{row.endpoint} {row.name}")
async def test_every_parameter_does_what_its_row_says(
    service: Service, row: Parameter, told: Told
) -> None:
    path = row.endpoint.split()[1]
    scene = Scene(service, "/".join(path.split("/")[:3]))

    await parameters.CHECKS[row](scene)
    told("parameters", 1)


@pytest.mark.parametrize("schema", PROPERTIES)
async def test_every_property_is_kept_or_worked_out(
    service: Service, schema: str, told: Told
) -> None:
    checked = {name for check in PROPERTIES[schema] for name in await check(service)}

    assert checked == properties(schema).keys()
    told("properties", len(checked))


@pytest.mark.parametrize("schema", WIDER)
async def test_properties_of_the_wider_schema_are_given_back(
    service: Service, schema: str, told: Told
) -> None:
    told("wider properties", await WIDER[schema](service))
