"""GET, POST and DELETE /Tax."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, bindparam, exists, or_, select
from sqlalchemy.orm import aliased

from app.errors import InvalidField
from app.halo.engine import json_schema, parsing, serializing
from app.halo.engine.resource import (
    ALL_VERBS,
    AttachedFields,
    Filter,
    ListCondition,
    Params,
    Resource,
    equals,
    parameter_value,
)
from app.halo.resources.passthrough import passthrough
from app.storage.column_types import table_of
from app.storage.engines import Tx
from app.storage.tables.taxes import CompositeTax, Tax


def _linked_ids(name: str, value: Any) -> list[int]:
    """The rates of a composite: an object with the id of each."""
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
    shown = {"id": tax_id, "name": name, "code": code, "value": serializing.number(value)}
    return {name: one for name, one in shown.items() if one is not None}


def _related_rates(name: str, params: Params) -> ListCondition | None:
    """A rate, the rates that it is made of, and the composites that it is part of."""
    wanted = parsing.reference(name, parameter_value(params, name))
    if wanted is None:
        return None
    link = aliased(CompositeTax)
    asked = bindparam(name, type_=Tax.id.type)
    either = or_(
        and_(link.tax_id == asked, link.linked_id == Tax.id),
        and_(link.linked_id == asked, link.tax_id == Tax.id),
    )
    return ListCondition(name, lambda: or_(Tax.id == asked, exists().where(either)), {name: wanted})


TAXES = Resource(
    path="Tax",
    table=Tax,
    verbs=ALL_VERBS,
    filters={
        "kashflowtenantid": equals(Tax.kashflow_tenant_id),
        "qbocompanyid": equals(Tax.qbo_company_id),
        "xerotenantid": equals(Tax.xero_tenant_id),
        "related_to": Filter(
            _related_rates,
            json_schema.parser_schema(parsing.reference),
            "Only this rate, the rates it is made of, and the composite rates it is part of.",
        ),
    },
    readers={"value": parsing.percentage},
    attached=AttachedFields(Tax.id, _linked_rates),
    further={"linked_rates": {"type": "array", "items": {"$ref": "#/components/schemas/Tax"}}},
    instructions={"linked_rates": _linked_ids},
    wider=passthrough(
        flags="onseparateline qbo_is_sales_tax",
        numbers="exact_division myob_details_id sage_tenant_id",
        texts="""
            avalara_id exact_division_name kashflow_tenant_name myob_details_name qbo_company_name
            qbocode qbocode_name sage_tenant_name third_party_desc third_party_id xero_tenant_name
            _warning
        """,
        others="""
            exacttaxcode kashflowtaxrate myobtaxcode qbotaxcode qbotaxrate sagebusinesscloudtaxcode
            sageintacttaxcode thirdparty_tax_rates xerotaxrate
        """,
    ),
    on_request={
        "linked_rates": "includedetails",
        "thirdparty_tax_rates": "includeqbotaxrates",
        "qbotaxrate": "includeqbotaxrates",
    },
    held_by=("invoice_line.tax_code",),
)
