"""The operation of the action on mail, for OpenAPI."""

from app.halo.mail_actions import EDIT_MAIL
from app.halo.openapi.operations import Operation, the
from app.halo.resources.mail_resource import MAIL

RETRIED_MAIL = Operation(
    summary="Send a message again",
    about=(
        "Queues a message that failed, was skipped, or of which nobody knows whether it was sent; "
        "the last may come twice, under the same Message-ID. A message that was sent, or waits, is "
        "refused."
    ),
    tag=MAIL.path,
    right=EDIT_MAIL,
    takes={"type": "object"},
    gives=the(MAIL.path),
    example={},
    answer_example={"id": 1, "kind": "receipt", "state": "queued"},
    refusals=(400, 404),
    resources=(MAIL,),
)
