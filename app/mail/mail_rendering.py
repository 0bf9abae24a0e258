"""How a mail becomes text and HTML: Jinja2, the user's own templates before ours.

Every sink has one function that escapes for it: HTML the environment's autoescape, the plain text
`escape_controls`, a header `header_text`.
"""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.control_characters import escape_controls
from app.mail.mail_content import MailContent
from app.mail.mail_words import BrokenMailFolder

TEMPLATES = Path(__file__).with_name("templates")
SUBJECT_MAX = 200


class RenderedMail(NamedTuple):
    """A mail as it is sent."""

    subject: str
    text: str
    html: str


def render_mail(content: MailContent, folder: str) -> RenderedMail:
    """The mail by the template of its kind, or by the one for all; BrokenMailFolder if it fails.

    A folder may have `KIND.html`, `KIND.txt`, `message.html` and `message.txt`.
    """
    return RenderedMail(
        header_text(content.subject),
        _rendered(content, folder, "txt"),
        _rendered(content, folder, "html"),
    )


def header_text(text: str) -> str:
    """Text of others on the one line of a header: no character of it ends or steers the line."""
    return escape_controls(text)[:SUBJECT_MAX]


def _rendered(content: MailContent, folder: str, form: str) -> str:
    names = [f"{content.kind}.{form}", f"message.{form}"]
    try:
        template = _environment(folder, is_html=form == "html").select_template(names)
        return template.render({**asdict(content)})
    except TemplateError as error:
        raise BrokenMailFolder(f"the template of {names[0]}: {error}") from None


@lru_cache(maxsize=8)
def _environment(folder: str, *, is_html: bool) -> ImmutableSandboxedEnvironment:
    folders = [Path(folder)] if folder else []
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(one) for one in (*folders, TEMPLATES)]),
        autoescape=is_html,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _visible(value: object) -> object:
    return escape_controls(value) if type(value) is str else value
