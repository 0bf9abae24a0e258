"""Escapes the characters of a text that steer whoever shows it: a terminal, a log, a page.

Names, numbers and messages come from customers, clients and Stripe. A control character in them can
clear a screen, write to a clipboard or forge a line, and a bidirectional one turns a text around.
Every output of Paydue that is no JSON passes its foreign text through here.
"""

import json
import re

# C0, DEL and C1; the soft hyphen; marks, embeddings, overrides and isolates of bidirectional text;
# characters without width but for the joiners, which scripts and emoji need; line and paragraph
# separators; halves of surrogate pairs; tags.
_STEERING = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_ANY = re.compile(f"[{_STEERING}]")


def escape_controls(text: str) -> str:
    r"""The text on one line, with each character that steers as its escape, such as `\x1b`."""
    return _ANY.sub(_escape, text)


def escape_lines(text: str) -> str:
    """The same for a text of several lines; only a line feed ends a line."""
    return "\n".join(map(escape_controls, text.split("\n")))


def escape_json(text: str) -> str:
    r"""JSON text of the same meaning in which no character steers: `\u009b` instead of itself."""
    return "\n".join(_ANY.sub(_json_escape, line) for line in text.split("\n"))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
