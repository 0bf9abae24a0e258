"""A process that sends what waits in the outbox, once: tests kill it.

python -m tests.mail_worker DATABASE_URL STRIPE_URL SMTP_PORT
"""

import asyncio
import sys

from app.node import open_node
from tests.harness import settings_for


async def main(database_url: str, stripe_url: str, port: str) -> None:
    settings = settings_for(database_url, stripe_url, **mail_settings(int(port)))
    async with open_node(settings) as node:
        await node.mail_delivery().run()


def mail_settings(port: int, **more: object) -> dict[str, object]:
    """Settings by which mail goes to a server of this machine."""
    return {
        "PAYDUE_SMTP_HOST": "127.0.0.1",
        "PAYDUE_SMTP_PORT": port,
        "PAYDUE_SMTP_SECURITY": "none",
        "PAYDUE_MAIL_FROM": "billing@seller.example",
        "PAYDUE_MAIL_FINANCE": "finance@seller.example",
        **more,
    }


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
