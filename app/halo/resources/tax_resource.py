"""GET, POST and DELETE /Tax."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, or_, select
from sqlalchemy.orm import aliased

from app.errors import InvalidField
from app.halo.engine import json_schema, parsing
from app.halo.engine.codec import number
from app.halo.engine.filters import (
    Equals,
    Filter,
    ListCondition,
    Parameter,
    Params,
    parameter_value,
)
from app.halo.engine.resource import (
    ALL_VERBS,
    Attached,
    Field,
    Input,
    Listing,
    Output,
    Property,
    Resource,
)
from app.halo.resources.passthrough import passthrough
from app.halo.resources.shared_fields import ID
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.taxes import CompositeTax, Tax

_LINKED_RATES = (
    "The rates that a composite rate is made of. Given, each object names the `id` of one, and "
    "they replace those that are there."
)


def _linked_ids(name: str, value: Any) -> list[int]:
    """The ids of a composite's rates, each given as an object with an `id`."""
    if not isinstance(value, list):
        raise InvalidField(name, "is not an array")
    return [_linked_id(f"{name}[{number}]", one) for number, one in enumerate(value)]


def _linked_id(name: str, value: Any) -> int:
    found = parsing.reference(f"{name}.id", value.get("id")) if isinstance(value, Mapping) else None
    if found is None:
        raise InvalidField(f"{name}.id", "is required: the id of a tax rate that exists")
    return found


async def _linked_rates(tx: Tx, ids: Collection[int]) -> dict[int, Mapping[str, Any]]:
    linked, tax = table_of(CompositeTax), table_of(Tax)
    found = await tx.execute(
        select(linked.c.tax_id, tax.c.id, tax.c.name, tax.c.code, tax.c.value)
        .join(tax, tax.c.id == linked.c.linked_id)
        .where(linked.c.tax_id.in_(ids))
        .order_by(linked.c.tax_id, tax.c.id)
    )
    rates: dict[int, Mapping[str, Any]] = {}
    for tax_id, *rate in found:
        rates.setdefault(tax_id, {"linked_rates": []})["linked_rates"].append(_rate(*rate))
    return rates


def _rate(tax_id: int, name: str, code: str | None, value: Decimal) -> dict[str, Any]:
    shown = {"id": tax_id, "name": name, "code": code, "value": number(value)}
    return {name: one for name, one in shown.items() if one is not None}


@dataclass(frozen=True, eq=False)
class RelatedRates(Filter):
    """A rate, the rates that it is made of, and the composite rates that it is part of."""

    @property
    def parameter(self) -> Parameter:
        return Parameter(
            json_schema.parser_schema(parsing.reference),
            "Only this rate, the rates it is made of, and the composite rates it is part of.",
        )

    def condition(self, name: str, params: Params) -> ListCondition | None:
        tax_id = parsing.reference(name, parameter_value(params, name))
        return None if tax_id is None else ListCondition(self, name, {name: tax_id})

    def clause(self, name: str, variant: str) -> ColumnElement[bool]:
        link = aliased(CompositeTax)
        rate = bindparam(name, type_=Tax.id.type)
        is_linked = or_(
            and_(link.tax_id == rate, link.linked_id == Tax.id),
            and_(link.linked_id == rate, link.tax_id == Tax.id),
        )
        return or_(Tax.id == rate, exists().where(is_linked))


TAXES = Resource(
    path="Tax",
    table=Tax,
    verbs=ALL_VERBS,
    fields={
        "id": ID,
        "name": Field("The tax rate's name. Required."),
        "code": Field("The tax rate's code in accounting."),
        "value": Field(
            "Percent of tax, 0 to 100. Of a composite rate: the sum of its linked rates.",
            parsing.percentage,
        ),
        "is_composite": Field(
            "Whether it is made of other rates; `false` lets the linked rates go."
        ),
        "category_code": Field(
            "The tax category: a code of UNTDID 5305, such as S, Z, E, AE, K, G, O."
        ),
        "exemption_reason": Field(
            "The reason why nothing is taxed, for documents and e-invoices: the text of a law.",
            parsing.short_text,
        ),
        "xero_tenant_id": Field("The Xero tenant that it belongs to."),
        "kashflow_tenant_id": Field("The number of the KashFlow tenant that it belongs to."),
        "qbo_company_id": Field("The QuickBooks company that it belongs to."),
    },
    listing=Listing(
        filters={
            "kashflowtenantid": Equals(Tax.kashflow_tenant_id),
            "qbocompanyid": Equals(Tax.qbo_company_id),
            "xerotenantid": Equals(Tax.xero_tenant_id),
            "related_to": RelatedRates(),
        }
    ),
    output=Output(
        attached=Attached(
            {
                "linked_rates": Property(
                    {"type": "array", "items": {"$ref": "#/components/schemas/Tax"}}, _LINKED_RATES
                )
            },
            Tax.id,
            _linked_rates,
        ),
        on_request={
            "linked_rates": "includedetails",
            "thirdparty_tax_rates": "includeqbotaxrates",
            "qbotaxrate": "includeqbotaxrates",
        },
    ),
    input=Input(
        instructions={"linked_rates": Field(_LINKED_RATES, _linked_ids)},
        passthrough=passthrough(
            flags="onseparateline qbo_is_sales_tax",
            numbers="exact_division myob_details_id sage_tenant_id",
            texts="""
                avalara_id exact_division_name kashflow_tenant_name myob_details_name
                qbo_company_name qbocode qbocode_name sage_tenant_name third_party_desc
                third_party_id xero_tenant_name _warning
            """,
            others="""
                exacttaxcode kashflowtaxrate myobtaxcode qbotaxcode qbotaxrate
                sagebusinesscloudtaxcode sageintacttaxcode thirdparty_tax_rates xerotaxrate
            """,
        ),
    ),
    held_by=("invoice_line.tax_code",),
)
