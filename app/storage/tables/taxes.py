"""Tax rates, what composite ones are made of, and the rules that choose a rate."""

from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.storage.column_types import Id, Json, Number, Ref, Row


class Tax(Row):
    __tablename__ = "tax"

    id: Mapped[Id]
    name: Mapped[str]
    code: Mapped[str | None]
    # Of a composite rate: what its linked rates add up to.
    value: Mapped[Number] = mapped_column(default=Decimal(0))
    is_composite: Mapped[bool] = mapped_column(default=False)
    category_code: Mapped[str | None]
    # The text of a law, for those who are not taxed: `Article 196 Directive 2006/112/EC`.
    exemption_reason: Mapped[str | None]
    xero_tenant_id: Mapped[str | None]
    kashflow_tenant_id: Mapped[int | None]
    qbo_company_id: Mapped[str | None]
    extra: Mapped[Any | None] = mapped_column(Json)


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
    extra: Mapped[Any | None] = mapped_column(Json)


class TaxRuleCondition(Row):
    __tablename__ = "tax_rule_condition"

    id: Mapped[Id]
    tax_rule_id: Mapped[Ref] = mapped_column(
        ForeignKey("tax_rule.id", ondelete="CASCADE"), index=True
    )
    value: Mapped[str | None]
    value_type: Mapped[int | None]
    value_bool: Mapped[bool | None]
    value_display: Mapped[str | None]
    value_lookup: Mapped[Any | None] = mapped_column(Json)
    extra: Mapped[Any | None] = mapped_column(Json)
