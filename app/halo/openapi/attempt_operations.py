"""The operation of the action on charge attempts, for OpenAPI."""

from app.halo.attempt_actions import EVERYTHING
from app.halo.engine import json_schema
from app.halo.openapi.operations import Operation, the
from app.halo.resources.charge_attempt_resource import CHARGE_ATTEMPTS

ENDED = Operation(
    summary="End a charge attempt",
    about=(
        "Ends an attempt that has not ended, where Stripe proves that no money moved or can move: "
        "its intent is canceled now or was before, or the account in which it began does not know "
        "it. Otherwise the attempt stays, and the answer is a 400 with what Stripe says."
    ),
    tag=CHARGE_ATTEMPTS.path,
    right=EVERYTHING,
    takes={
        "type": "object",
        "required": ["reason"],
        "properties": {"reason": {**json_schema.TEXT, "description": "Why; it is audited."}},
    },
    gives=the(CHARGE_ATTEMPTS.path),
    example={"reason": "The test data of that account was deleted"},
    answer_example={"id": 1, "state": "canceled"},
    refusals=(400, 404, 409),
    resources=(CHARGE_ATTEMPTS,),
)
