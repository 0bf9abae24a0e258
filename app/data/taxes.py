"""Tax rates, what composite ones are made of, and the rules that choose a rate."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, and_, bindparam, exists, or_, select
from sqlalchemy.orm import Mapped, aliased, mapped_column

from app.data import shapes, values
from app.data.columns import HIDDEN, READ_ONLY, Id, Json, Ref, Row, table_of
from app.data.database import Tx
from app.data.resource import (
    ALL_VERBS,
    Attached,
    Child,
    Condition,
    Filter,
    Params,
    Resource,
    equals,
    given,
)
from app.data.wider import known
from app.errors import InvalidField


class Tax(Row):
    __tablename__ = "tax"

    id: Mapped[Id]
    name: Mapped[str]
    code: Mapped[str | None]
    # Of a composite rate: what its linked rates add up to.
    value: Mapped[Decimal] = mapped_column(default=Decimal(0))
    is_composite: Mapped[bool] = mapped_column(default=False)
    category_code: Mapped[str | None]
    xero_tenant_id: Mapped[str | None]
    kashflow_tenant_id: Mapped[int | None]
    qbo_company_id: Mapped[str | None]
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


class CompositeTax(Row):
    """One rate that a composite rate is made of."""

    __tablename__ = "composite_tax"

    tax_id: Mapped[Ref] = mapped_column(ForeignKey("tax.id", ondelete="CASCADE"), primary_key=True)
    linked_id: Mapped[Ref] = mapped_column(ForeignKey("tax.id"), primary_key=True, index=True)


class TaxRule(Row):
    __tablename__ = "tax_rule"

    id: Mapped[Id]
    name: Mapped[str]
    taxid: Mapped[Ref] = mapped_column(ForeignKey("tax.id"), index=True)
    sequence: Mapped[int] = mapped_column(default=0)
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


class TaxRuleCondition(Row):
    __tablename__ = "tax_rule_condition"

    id: Mapped[Id]
    tax_rule_id: Mapped[Ref] = mapped_column(
        ForeignKey("tax_rule.id", ondelete="CASCADE"), index=True, info=READ_ONLY
    )
    value: Mapped[str | None]
    value_type: Mapped[int | None]
    value_bool: Mapped[bool | None]
    value_display: Mapped[str | None]
    value_lookup: Mapped[Any | None] = mapped_column(Json)
    extra: Mapped[Any | None] = mapped_column(Json, info=HIDDEN)


def _linked_ids(name: str, value: Any) -> list[int]:
    """The rates of a composite: an object with the id of each."""
    if not isinstance(value, list):
        raise InvalidField(name, "is not an array")
    return [_linked_id(f"{name}[{number}]", one) for number, one in enumerate(value)]


def _linked_id(name: str, value: Any) -> int:
    found = values.reference(f"{name}.id", value.get("id")) if isinstance(value, Mapping) else None
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
    shown = {"id": tax_id, "name": name, "code": code, "value": values.number(value)}
    return {name: one for name, one in shown.items() if one is not None}


def _related_rates(name: str, params: Params) -> Condition | None:
    """A rate, the rates that it is made of, and the composites that it is part of."""
    wanted = values.reference(name, given(params, name))
    if wanted is None:
        return None
    link = aliased(CompositeTax)
    asked = bindparam(name, type_=Tax.id.type)
    either = or_(
        and_(link.tax_id == asked, link.linked_id == Tax.id),
        and_(link.linked_id == asked, link.tax_id == Tax.id),
    )
    return Condition(name, lambda: or_(Tax.id == asked, exists().where(either)), {name: wanted})


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
            shapes.of_reader(values.reference),
            "Only this rate, the rates it is made of, and the composite rates it is part of.",
        ),
    },
    readers={"value": values.percentage},
    attached=Attached(Tax.id, _linked_rates),
    further={"linked_rates": {"type": "array", "items": {"$ref": "#/components/schemas/Tax"}}},
    instructions={"linked_rates": _linked_ids},
    wider=known(
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

TAX_RULE_CONDITIONS = Resource(
    path="TaxRuleConditions", table=TaxRuleCondition, wider=known(texts="_warning")
)

TAX_RULES = Resource(
    path="TaxRule",
    table=TaxRule,
    verbs=ALL_VERBS,
    derived={"tax_name": select(Tax.name).where(Tax.id == TaxRule.taxid).scalar_subquery()},
    children={
        "tax_conditions": Child(
            TAX_RULE_CONDITIONS, TaxRuleCondition.tax_rule_id, order=(TaxRuleCondition.id,)
        )
    },
    nested={"tax_conditions": TAX_RULE_CONDITIONS},
    wider=known(texts="_warning"),
)
