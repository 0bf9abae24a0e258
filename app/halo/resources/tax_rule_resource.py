"""GET, POST and DELETE /TaxRule, with its conditions."""

from sqlalchemy import select

from app.halo.engine.parsing import reference
from app.halo.engine.resource import (
    ALL_VERBS,
    Child,
    Derived,
    Field,
    Input,
    InputList,
    Output,
    Resource,
)
from app.halo.resources.passthrough import passthrough
from app.halo.resources.shared_fields import ID
from app.storage.tables.taxes import Tax, TaxRule, TaxRuleCondition

TAX_RULE_CONDITIONS = Resource(
    path="TaxRuleConditions",
    table=TaxRuleCondition,
    fields={
        "id": ID,
        "tax_rule_id": Field("`id` of the condition's TaxRule.", read_only=True),
        "value": Field("The condition holds when the line has this value, in any case."),
        "value_type": Field(
            "The value that is compared: 1 client, 2 site, 3 `item_code`, 4 `nominal_code`, "
            "5 currency (ISO code), 6 the client's `country`, 7 whether the client has a "
            "`vat_number` (`yes`, `no`), 8 the tax point (`2027-01-01/2027-12-31`; an end may be "
            "empty). With another, or none, the condition never holds."
        ),
        "value_bool": Field("A flag of the condition's; the rule is not chosen by it."),
        "value_display": Field("The value as people know it; the rule is not chosen by it."),
        "value_lookup": Field(
            "An array of objects; the condition also holds when the line has the `id` of one."
        ),
    },
    input=Input(passthrough=passthrough(texts="_warning")),
)

TAX_RULES = Resource(
    path="TaxRule",
    table=TaxRule,
    verbs=ALL_VERBS,
    fields={
        "id": ID,
        "name": Field("The rule's name. Required."),
        "taxid": Field(
            "`id` of the Tax that a new line gets when it names none. Required.", reference
        ),
        "sequence": Field("The rule's place: the first whose conditions all hold is taken."),
    },
    output=Output(
        derived={
            "tax_name": Derived(
                "The name of that Tax.",
                select(Tax.name).where(Tax.id == TaxRule.taxid).scalar_subquery(),
            )
        },
        children={
            "tax_conditions": Child(
                "All conditions of the rule.",
                TAX_RULE_CONDITIONS,
                TaxRuleCondition.tax_rule_id,
                order=(TaxRuleCondition.id,),
            )
        },
    ),
    input=Input(
        lists={
            "tax_conditions": InputList(
                "Given, they replace those that are there; one with `id` is changed.",
                TAX_RULE_CONDITIONS,
            )
        },
        passthrough=passthrough(texts="_warning"),
    ),
)
