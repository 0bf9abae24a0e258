"""The form of an action: what it does, what it needs, a reason, and a button that names it.

Nothing is done before somebody has read the page and pressed its button. What an action refuses
comes back on the same page, beside the fields as they were filled in.
"""

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from app.console.language import N_, decimal_text, read_decimal
from app.console.pages.chrome import reading, show
from app.console.pages.listing import address
from app.console.routing import Viewer, redirect
from app.errors import AppError, InvalidField
from app.storage.engines import Tx

# As the API takes them for a reason.
REASON_MAX = 500


class FormField(NamedTuple):
    """A field of an action's form. With `choices` it is one of these."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    kind: str = "text"
    choices: Sequence[tuple[str, str]] = ()


# The field of a form that keeps the state its page showed: sent again, it is of before.
SEEN = "seen"
REASON = FormField("reason", N_("Reason, kept in the history"), kind="textarea")


class ActionForm(NamedTuple):
    """An action as its page describes it. `button` names what is done, `leave` the way back."""

    title: str
    lede: str
    button: str
    leave: str
    back: str
    fields: Sequence[FormField]
    # Facts about what is acted on, as pairs of name and value.
    facts: Sequence[tuple[str, str]] = ()
    is_dangerous: bool = False


LoadForm = Callable[[Request, Tx], Awaitable[ActionForm]]
# Does the action; answers what was done, and where that is seen.
DoAction = Callable[[Request, Viewer, FormData], Awaitable[tuple[str, str]]]


class FormPage(Protocol):
    """The two pages of an action: its form, and the answer to its button."""

    async def show(self, request: Request, viewer: Viewer) -> Response: ...

    async def submit(self, request: Request, viewer: Viewer) -> Response: ...


class FormAction(NamedTuple):
    """An action: its form, and what its button does."""

    load_form: LoadForm
    act: DoAction

    async def show(self, request: Request, viewer: Viewer) -> Response:
        async with reading(request) as tx:
            form = await self.load_form(request, tx)
            return await show(request, viewer, tx, "action.html", form=form, error="", field="")

    async def submit(self, request: Request, viewer: Viewer) -> Response:
        given: FormData = request.state.form
        try:
            said, path = await self.act(request, viewer, given)
        except AppError as error:
            return await self._again(request, viewer, given, error)
        return redirect(address(path, {"done": said}))

    async def _again(
        self, request: Request, viewer: Viewer, given: FormData, error: AppError
    ) -> Response:
        async with reading(request) as tx:
            form = await self.load_form(request, tx)
            filled = [
                field
                if field.name == SEEN
                else field._replace(value=str(given.get(field.name, field.value)))
                for field in form.fields
            ]
            field = error.field if isinstance(error, InvalidField) else ""
            response = await show(
                request,
                viewer,
                tx,
                "action.html",
                form=form._replace(fields=filled),
                error=error.message,
                field=field,
            )
        response.status_code = error.status
        return response


def text_given(given: FormData, name: str, most: int = REASON_MAX) -> str:
    """A text that the form must have, or InvalidField."""
    text = str(given.get(name, "")).strip()
    if not 0 < len(text) <= most:
        raise InvalidField(name, f"has not 1 to {most} characters")
    return text


def amount_given(given: FormData, name: str = "amount") -> Decimal:
    """An exact amount as the page's language writes it, such as 1,204.50, or InvalidField."""
    text = str(given.get(name, "")).strip()
    amount = read_decimal(text)
    if amount is None:
        example = decimal_text("120.50")
        raise InvalidField(name, f"{text!r} is no amount such as {example}")
    if not amount.is_finite() or amount <= 0:
        raise InvalidField(name, "is more than nothing")
    return amount
