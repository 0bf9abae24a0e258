"""GET, POST and DELETE /TaxRule, with its conditions."""

from sqlalchemy import select

from app.halo.engine.resource import ALL_VERBS, Child, Resource
from app.halo.resources.passthrough import passthrough
from app.storage.tables.taxes import Tax, TaxRule, TaxRuleCondition

TAX_RULE_CONDITIONS = Resource(
    path="TaxRuleConditions", table=TaxRuleCondition, wider=passthrough(texts="_warning")
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
    wider=passthrough(texts="_warning"),
)
