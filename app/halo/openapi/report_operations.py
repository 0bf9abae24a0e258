"""The operations of finance's reports, for OpenAPI."""

from collections.abc import Mapping

from app.halo.autopay_forecast_action import READ_INVOICES
from app.halo.engine import json_schema
from app.halo.engine.filters import Parameter
from app.halo.engine.json_schema import Schema
from app.halo.openapi.operations import Operation
from app.rules.finance_report import DAYS_MAX, USUAL_DAYS, USUAL_SPAN, ReportName

_ABOUT: Mapping[ReportName, tuple[str, str]] = {
    ReportName.AGEING: (
        "Ageing",
        "What clients owe at the end of a day, by client and currency, and by the days since it "
        "was due. Of a day that is over it is what the journal had booked by its end.",
    ),
    ReportName.EXPECTED: (
        "Money expected",
        "By currency what is overdue, falls due within `days`, and later; they add up to all that "
        "is owed. Of today also what autopay will charge, and what waits for an approval.",
    ),
    ReportName.DECLINES: (
        "Charges by method and reason",
        "Automatic charges of the `days` up to the day: how many succeeded, and why others were "
        "declined, with the part of that method's charges in percent.",
    ),
    ReportName.RECOVERED: (
        "Declines recovered",
        "Charges that were declined at first, and what became of them: recovered by a later try, "
        "settled in another way, or open.",
    ),
    ReportName.DSO: (
        "Days sales outstanding",
        "Receivables by the sales of the `days` up to the day, times these days, by currency.",
    ),
}
_RECORDS: Schema = {
    "type": "array",
    "items": {"type": "object"},
    "description": "Objects with the names of `columns`; amounts are text in the currency's "
    "decimals.",
}


def _operation(name: ReportName) -> Operation:
    summary, about = _ABOUT[name]
    usual = USUAL_DAYS.get(name, USUAL_SPAN)
    parameters = {
        "as_of": Parameter(
            {**json_schema.TEXT, "format": "date"}, "The report's day; today without it."
        ),
        "days": Parameter(
            {**json_schema.SMALL, "minimum": 1, "maximum": DAYS_MAX, "default": usual},
            "How many days it looks at.",
        ),
        "client_id": Parameter(json_schema.WHOLE, "Only this client."),
    }
    del parameters["days" if name == ReportName.AGEING else "client_id"]
    return Operation(
        summary=summary,
        about=f"{about} Amounts of two currencies are never added up. Not HaloPSA's.",
        tag="Report",
        right=READ_INVOICES,
        parameters=parameters,
        gives={
            "type": "object",
            "properties": {
                "report": json_schema.TEXT,
                "as_of": {**json_schema.TEXT, "format": "date"},
                "from": {
                    "type": ["string", "null"],
                    "description": "The first day.",
                },
                "columns": {"type": "array", "items": json_schema.TEXT},
                "rows": _RECORDS,
                "totals": {**_RECORDS, "description": "By currency, where rows are finer."},
                "notes": {"type": "array", "items": json_schema.TEXT},
            },
        },
        answer_example={"report": str(name), "as_of": "2026-11-27", "rows": []},
    )


REPORT_OPERATIONS: Mapping[ReportName, Operation] = {one: _operation(one) for one in ReportName}
