"""What the parameters of the other lists keep and drop, and what those of single records add."""

from datetime import UTC, datetime
from typing import Any

from tests.published import ordering
from tests.published.endpoints import charge_rate
from tests.published.scene import Check, Scene

Values = dict[str, Any]


async def _of_one_invoice(scene: Scene) -> Values:
    return {"invoice_id": (await scene.api.invoice(1000))["id"]}


# --- InvoicePayment --------------------------------------------------------------------------


async def _payments_of_a_client(scene: Scene) -> None:
    shown, _ = [
        await scene.make(
            amount=1,
            invoice_id=(await scene.api.invoice(10, client_id=await scene.api.client()))["id"],
        )
        for _ in range(2)
    ]
    await scene.keeps([shown], client_id=str(shown["client_id"]))


async def _payments_of_an_invoice(scene: Scene) -> None:
    shown, _ = await scene.make(), await scene.make()
    await scene.keeps([shown], invoice_id=str(shown["invoice_id"]))


async def _payment_of_an_intent(scene: Scene) -> None:
    intents = [f"pi_{scene.service.clock():%H%M%S}x{number}" for number in range(2)]
    shown, _ = [await scene.make(intent_id=one) for one in intents]
    await scene.keeps([shown], intent_id=shown["intent_id"])


async def _payments_found(scene: Scene) -> None:
    client_id = await scene.api.client(name="Numbat & Sons")
    of_client = (await scene.api.invoice(10, client_id=client_id))["id"]
    of_number = (await scene.api.invoice(10, invoicenumber="NUMBAT-1"))["id"]
    found = [
        await scene.make(reference="from numbat"),
        await scene.make(intent_id="pi_numbat"),
        await scene.make(invoice_id=of_client),
        await scene.make(invoice_id=of_number),
    ]
    await scene.make(reference="from bilby")
    await scene.keeps(found, search="numbat")


PAYMENT_CHECKS: dict[str, Check] = {
    **ordering.checks(
        {"reference": str, "thirdpartyid": str, "payment_method_name": str, "method": int,
         "type": int},
        _of_one_invoice,
    ),
    "client_id": _payments_of_a_client,
    "intent_id": _payment_of_an_intent,
    "invoice_id": _payments_of_an_invoice,
    "search": _payments_found,
}  # fmt: skip


# --- InvoiceChange ---------------------------------------------------------------------------


async def _changes_of_an_invoice(scene: Scene) -> None:
    shown, _ = [await scene.make(**await _of_one_invoice(scene)) for _ in range(2)]
    await scene.keeps([shown], invoice_id=str(shown["invoice_id"]))


async def _changes_of_a_line(scene: Scene) -> None:
    invoice = await scene.api.invoice(1, 2)
    shown, _ = [
        await scene.make(invoice_id=invoice["id"], invoice_line_id=line["id"])
        for line in invoice["lines"]
    ]
    await scene.keeps([shown], line_id=str(shown["invoice_line_id"]))


async def _changes_of_a_type(scene: Scene) -> None:
    shared = await _of_one_invoice(scene)
    shown, _ = [await scene.make(**shared, type_id=one) for one in (71, 72)]
    await scene.keeps([shown], type_id="71")


async def _changes_found(scene: Scene) -> None:
    shared = await _of_one_invoice(scene)
    found = [
        await scene.make(**shared, **{name: "the dunnart"})
        for name in ("field_name", "old_value", "new_value")
    ]
    await scene.make(**shared, new_value="the quoll")
    await scene.keeps(found, search="dunnart")


async def _of_one_type(scene: Scene) -> Values:
    """The invoice writes a change of its own when it is created."""
    return {**await _of_one_invoice(scene), "type_id": 73}


CHANGE_CHECKS: dict[str, Check] = {
    **ordering.checks(
        {"field_name": str, "old_value": str, "new_value": str, "type_id": int, "field_id": int},
        _of_one_type,
    ),
    "invoice_id": _changes_of_an_invoice,
    "line_id": _changes_of_a_line,
    "search": _changes_found,
    "type_id": _changes_of_a_type,
}


# --- the small lists -------------------------------------------------------------------------


def _tenant(parameter: str, column: str, asked: Any, other: Any) -> Check:
    async def check(scene: Scene) -> None:
        shown, _ = await scene.make(**{column: asked}), await scene.make(**{column: other})
        await scene.keeps([shown], **{parameter: str(asked)})

    return check


async def _related_rates(scene: Scene) -> None:
    part, other, alone = [await scene.make(name=name, value=5) for name in ("a", "b", "c")]
    linked = [{"id": part["id"]}, {"id": other["id"]}]
    composite = await scene.make(name="both", is_composite=True, linked_rates=linked)
    await scene.keeps([part, other, composite], related_to=str(composite["id"]))
    await scene.keeps([part, composite], related_to=str(part["id"]))
    await scene.keeps([alone], related_to=str(alone["id"]))


TAX_CHECKS: dict[str, Check] = {
    "kashflowtenantid": _tenant("kashflowtenantid", "kashflow_tenant_id", 7, 8),
    "qbocompanyid": _tenant("qbocompanyid", "qbo_company_id", "q7", "q8"),
    "related_to": _related_rates,
    "xerotenantid": _tenant("xerotenantid", "xero_tenant_id", "x7", "x8"),
}


async def _budgets_of_a_ticket(scene: Scene) -> None:
    shown, _ = await scene.make(ticket_id=7), await scene.make(ticket_id=8)
    await scene.keeps([shown], ticket_id="7")


BUDGET_CHECKS: dict[str, Check] = {"ticket_id": _budgets_of_a_ticket}


def _rates(parameter: str, asked: str, kept: Values, dropped: Values) -> Check:
    async def check(scene: Scene) -> None:
        scene.made += [await charge_rate(scene.service, **one) for one in (kept, dropped)]
        await scene.keeps([{"id": scene.made[0]}], **{parameter: asked})

    return check


async def _one_rate(scene: Scene) -> None:
    scene.made += [await charge_rate(scene.service) for _ in range(2)]
    await scene.keeps([{"id": scene.made[0]}], chargerate_id=str(scene.made[0]))


async def _rates_of_a_client(scene: Scene) -> None:
    clients = [await scene.api.client() for _ in range(2)]
    scene.made += [await charge_rate(scene.service, area=one) for one in clients]
    await scene.keeps([{"id": scene.made[0]}], client_id=str(clients[0]))


async def _rates_of_all(scene: Scene) -> None:
    client_id = await scene.api.client()
    for values in ({}, {"area": client_id}, {"contract_id": 7}):
        scene.made.append(await charge_rate(scene.service, **values))
    await scene.keeps([{"id": scene.made[0]}], globalonly="true")


CHARGE_RATE_CHECKS: dict[str, Check] = {
    "chargerate_id": _one_rate,
    "client_id": _rates_of_a_client,
    "contract_id": _rates("contract_id", "7", {"contract_id": 7}, {"contract_id": 8}),
    "currentonly": _rates(
        "currentonly", "true", {}, {"expirydate": datetime(2020, 1, 1, tzinfo=UTC)}
    ),
    "globalonly": _rates_of_all,
}


# --- single records --------------------------------------------------------------------------


async def _made(scene: Scene) -> Values:
    if scene.path == "/api/ChargeRate":
        return {"id": await charge_rate(scene.service)}
    return dict(await scene.make())


async def read_by_id(scene: Scene) -> None:
    one, other = await _made(scene), await _made(scene)
    for made in (one, other):
        assert (await scene.api.get(scene.path_of(made)))["id"] == made["id"]


async def deleted_by_id(scene: Scene) -> None:
    gone, stays = await scene.make(), await scene.make()
    answer = await scene.api.send("DELETE", scene.path_of(gone))
    assert (answer.status, answer.json["id"]) == (200, gone["id"]), answer.text
    assert (await scene.api.send("GET", scene.path_of(gone))).status == 404
    assert await scene.ids() == [stays["id"]]


async def deleted_without_accounts(scene: Scene) -> None:
    gone = await scene.make()
    path = f"{scene.path_of(gone)}?bypass_accounts_sync=true"
    assert (await scene.api.send("DELETE", path)).status == 200
    assert await scene.ids() == []


async def voided_by_id(scene: Scene) -> None:
    gone, stays = await scene.make(), await scene.make()
    await scene.api.send("POST", f"/api/Invoice/{gone['id']}/void")
    await scene.keeps([stays], exclude_voided="true")


async def printed_by_id(scene: Scene) -> None:
    for one in (await scene.make(), await scene.make()):
        path = f"/api/Invoice/PDF/{one['id']}"
        async with scene.api.session.post(path, headers=scene.api.headers) as answer:
            assert answer.status == 200
            assert f"invoice-{one['id']}.pdf" in answer.headers["Content-Disposition"]


async def _more(scene: Scene, record: Any, parameter: str = "includedetails") -> set[str]:
    """What a single record shows only when it is asked for more."""
    plain = await scene.api.get(scene.path_of(record))
    detailed = await scene.api.get(scene.path_of(record), **{parameter: "true"})
    assert plain.keys() <= detailed.keys()
    return set(detailed.keys() - plain.keys())


def details(*names: str, **values: Any) -> Check:
    async def check(scene: Scene) -> None:
        made = await scene.make()
        if values and scene.path == "/api/Currency":
            await scene.api.post(scene.path, {"id": made["id"], **values})
        assert set(names) <= await _more(scene, made)

    return check


async def invoices_of_a_template(scene: Scene) -> None:
    made = await scene.make(lines=[{"unit_price": 1}], period=2)
    await scene.api.send("POST", "/api/RecurringInvoice/process", json=[made["id"]])
    assert "invoices" in await _more(scene, made)


async def alone(scene: Scene) -> None:
    """Nothing hangs on such a record, so there is nothing more to show."""
    assert await _more(scene, await scene.make()) == set()


async def charge_rate_details(scene: Scene) -> None:
    agents = [{"id": 3, "name": "Ada"}]
    made = {"id": await charge_rate(scene.service, extra={"agents": agents})}
    assert await _more(scene, made) == {"agents"}


async def payment_details(scene: Scene) -> None:
    assert await _more(scene, await scene.make()) == set()


async def tax_details(scene: Scene) -> None:
    part = await scene.make()
    made = await scene.make(is_composite=True, linked_rates=[{"id": part["id"]}])
    assert await _more(scene, made) == {"linked_rates"}


async def quickbooks_rates(scene: Scene) -> None:
    made = await scene.make(thirdparty_tax_rates=[{"id": 3, "name": "20% S"}])
    assert await _more(scene, made, "includeqbotaxrates") == {"thirdparty_tax_rates"}
