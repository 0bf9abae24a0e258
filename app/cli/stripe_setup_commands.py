"""The command that makes or mends the webhook endpoint at Stripe: `paydue stripe setup`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from app.cli.command_group import run, settings_and_logs
from app.cli.terminal import say
from app.errors import ConfigurationError
from app.node import unlimited_gateway
from app.payments.webhook import endpoint_setup
from app.payments.webhook.endpoint_setup import EndpointPlan, EndpointStep
from app.settings import Settings

_SAID = {
    EndpointStep.NONE: "the endpoint {id} is right; nothing is to be done",
    EndpointStep.CREATE: "an endpoint is to be made at {url}: {why}",
    EndpointStep.UPDATE: "the endpoint {id} is to be changed: {why}",
    EndpointStep.REPLACE: (
        "a second endpoint is to be made beside {id}: {why}, and Stripe never changes that. Delete "
        "{id} at Stripe once the new secret is in use"
    ),
}
_IS_NEW = (EndpointStep.CREATE, EndpointStep.REPLACE)


@click.group()
def stripe() -> None:
    """Set up what Paydue needs at Stripe."""


@stripe.command("setup")
@click.option("--url", help="The endpoint's address. Default: from PAYDUE_PUBLIC_URL.")
@click.option("--apply", is_flag=True, help="Do it; otherwise it is only said what would be done.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file for the signing secret of a new endpoint, which Stripe tells once.",
)
def setup(url: str | None, apply: bool, secret_file: Path | None) -> None:
    """Make or mend the webhook endpoint, with exactly our events and our API version.

    Without --apply nothing is changed. A signing secret is never printed.
    """
    settings = settings_and_logs()
    wanted = url or (settings.public_url and endpoint_setup.endpoint_url(settings.public_url))
    if not wanted:
        raise ConfigurationError("PAYDUE_PUBLIC_URL is not set; give the address by --url")
    if not settings.api_key:
        raise ConfigurationError("STRIPE_API_KEY is not set; nothing can be asked of Stripe")
    plan, made = run(_set_up(settings, wanted, is_dry=not apply, secret_file=secret_file))
    found = plan.existing or {}
    say(_SAID[plan.step].format(id=found.get("id"), url=plan.url, why="; ".join(plan.reasons)))
    if plan.step == EndpointStep.NONE:
        return
    if made is None:
        say("nothing was changed; --apply does it")
        return
    say(f"done: {made['id']}")
    if secret_file is not None and "secret" in made:
        say(f"its signing secret is in {secret_file}; set STRIPE_WEBHOOK_SECRET to it")


async def _set_up(
    settings: Settings, url: str, *, is_dry: bool, secret_file: Path | None
) -> tuple[EndpointPlan, Mapping[str, Any] | None]:
    """The plan, and Stripe's object once it is carried out."""
    async with unlimited_gateway(settings) as gateway:
        plan = await endpoint_setup.plan_endpoint(gateway, url)
        if is_dry or plan.step == EndpointStep.NONE:
            return plan, None
        if plan.step not in _IS_NEW:
            return plan, await endpoint_setup.carry_out(gateway, plan)
        if secret_file is None:
            raise click.UsageError("a new endpoint's secret is told once: name a --secret-file")
        # Before the endpoint is made, so that no secret is lost to a file that cannot be written.
        with _new_private_file(secret_file) as file:
            made = await endpoint_setup.carry_out(gateway, plan)
            file.write(f"{made['secret']}\n")
        return plan, made


def _new_private_file(path: Path) -> Any:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from error
