"""A process of its own that prints with Typst: requests on stdin, documents on stdout.

It is started as a file, with an empty environment, and imports nothing of ours. Each message is
its length in four bytes and JSON; an answer's document follows as bytes of its own. It ends with
its stdin, so it never outlives whoever started it.
"""

import json
import os
import re
import struct
import sys
from contextlib import suppress
from typing import IO, Any

Message = dict[str, Any]

# A document takes tens of megabytes; the fonts of all scripts are a few hundred, mapped.
_ADDRESS_SPACE_MAX = 3 * 1024**3
# Letters that no font has show as this one, which ours has: a visible box.
_BOX = "\u25a1"
# Each round names all letters that are missing then; a second one is for what they hid.
_ROUNDS_MAX = 4
_LETTERS = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_ESCAPE = re.compile(r"\\u\{([0-9a-f]{1,6})\}")


def main() -> None:
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    _limit_memory()
    import typst

    fonts = typst.Fonts(
        include_embedded_fonts=False, include_system_fonts=True, font_paths=sys.argv[1:]
    )
    _write(answers, {"families": sorted(set(fonts.families()))}, b"")
    while (request := _read(requests)) is not None:
        _write(answers, *_answer(typst, fonts, request))


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_MAX, _ADDRESS_SPACE_MAX))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(requests: IO[bytes]) -> Message | None:
    head = requests.read(4)
    if len(head) < 4:
        return None
    found: Message = json.loads(requests.read(struct.unpack(">I", head)[0]))
    return found


def _write(answers: IO[bytes], head: Message, document: bytes) -> None:
    text = json.dumps({**head, "size": len(document)}).encode()
    answers.write(struct.pack(">I", len(text)) + text + document)
    answers.flush()


def _answer(typst: Any, fonts: Any, request: Message) -> tuple[Message, bytes]:
    """The document, with boxes for the letters that no font has, or the error's words."""
    data, missing = request["data"], ""
    for _ in range(_ROUNDS_MAX):
        try:
            compiler = typst.Compiler(
                input=request["template"],
                root=request["root"],
                font_paths=fonts,
                ignore_system_fonts=True,
                sys_inputs={"data": data},
            )
            document = _compiled(compiler, request)
        except typst.TypstError as error:
            found = _missing_letters(error.diagnostic)
            if not found:
                return {"error": error.diagnostic[:2000]}, b""
            missing += found
            data = data.translate(dict.fromkeys(map(ord, found), _BOX))
        else:
            return {"missing": missing}, document
    return {"error": "letters that no font has"}, b""


def _compiled(compiler: Any, request: Message) -> bytes:
    """The PDF, or the first page as PNG where the request names its dots."""
    if not request["dots"]:
        pdf: bytes = compiler.compile(
            format="pdf", pdf_standards="a-3b", timestamp=request["timestamp"]
        )
        return pdf
    pages = compiler.compile(format="png", ppi=request["dots"])
    first: bytes = pages[0] if isinstance(pages, list) else pages
    return first


def _missing_letters(diagnostic: str) -> str:
    """Letters beyond ASCII, which stands in the JSON's own syntax too."""
    texts = (_ESCAPE.sub(_letter, one) for one in _LETTERS.findall(diagnostic))
    return "".join({one for text in texts for one in text if ord(one) > 0x7F and one != _BOX})


def _letter(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


if __name__ == "__main__":
    main()
