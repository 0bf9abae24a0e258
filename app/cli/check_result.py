"""One result of `paydue doctor`: found, and how to mend it."""

from dataclasses import dataclass

from rich.text import Text

from app.cli.terminal import words


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    said: str
    mend: str = ""
    is_bad: bool = False

    @property
    def state(self) -> str:
        """`bad` wants mending now, `note` is worth knowing, `ok` is neither."""
        if self.is_bad:
            return "bad"
        return "note" if self.mend else "ok"

    @property
    def mark(self) -> Text:
        return words((self.state, {"bad": "red", "note": "yellow", "ok": "green"}[self.state]))

    def as_dict(self) -> dict[str, str]:
        return {"check": self.name, "state": self.state, "found": self.said, "mend": self.mend}


def failed_check(name: str, said: str, mend: str) -> Check:
    return Check(name, said, mend, is_bad=True)
