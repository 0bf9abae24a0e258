"""CONTRIBUTING.md and docs/architecture.md name only files, functions and commands that exist."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / name).read_text()
    for name in ("CONTRIBUTING.md", "docs/architecture.md", "README.md")
}
# Of README only the part about the code; tests/test_readme.py holds the others.
PAGES["README.md"] = PAGES["README.md"].partition("## The house")[2]

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"((?:[\w.*-]+/)+[\w.*-]*|[\w*-]+\.(?:py|md|json))(?:: (.+))?")
NAME = re.compile(r"\*?([A-Za-z_][\w.]*)(?:[(\[=].*)?")
COMMANDS = ("python", "python3", "pytest", "pip", ".ci/run")

# Words of Stripe, of HaloPSA and of the shell, which no source needs to have.
NOT_OURS = {"pip", "pytest", "README.md", "__init__"}


def _spans(page: str) -> Iterator[str]:
    """What stands in backticks, outside of the blocks."""
    yield from SPAN.findall(BLOCK.sub("", PAGES[page]))


def _drawn(page: str) -> Iterator[str]:
    """The files that an indented drawing lists in its first column; a bare name is the last's."""
    for line in re.findall(r"^ {4}(\S.*)$", PAGES[page], re.MULTILINE):
        folder = ""
        for word in re.split(r"[,|\s]+", re.split(r" {3,}", line)[0]):
            if PATH.fullmatch(word):
                folder = word.rpartition("/")[0] or folder
                yield word if "/" in word else f"{folder}/{word}"


def _named_paths() -> list[tuple[str, str, str]]:
    """Every file or folder that a page names, with the names it says are in it."""
    found = []
    for page in PAGES:
        for span in (*_spans(page), *_drawn(page)):
            match = PATH.fullmatch(span)
            if match and not span.startswith(COMMANDS):
                found.append((page, match[1], match[2] or ""))
    return found


def _commands() -> list[tuple[str, str]]:
    """Every command line of ours that a page names."""
    lines = []
    for page, text in PAGES.items():
        parts = [part.strip() for block in BLOCK.findall(text) for part in re.split("&&|\n", block)]
        for one in (*parts, *_spans(page)):
            command = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", one)
            if command.partition(" ")[0] in COMMANDS:
                lines.append((page, command))
    return lines


def _files(path: str) -> list[Path]:
    """Relative to the repository or to app; X stands for any name."""
    pattern = re.sub(r"\bX_", "*_", path).rstrip("/")
    return [*ROOT.glob(pattern), *(ROOT / "app").glob(pattern), *(ROOT / "docs").glob(pattern)]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_files_and_is_read_here(page: str) -> None:
    assert len({path for where, path, _ in _named_paths() if where == page}) >= 3


@pytest.mark.parametrize(("page", "path", "names"), sorted(set(_named_paths())))
def test_a_file_that_is_named_exists_and_has_what_is_said_to_be_in_it(
    page: str, path: str, names: str
) -> None:
    files = _files(path)

    assert files, f"{page} names {path}"
    defined = {name for file in files if file.suffix == ".py" for name in _defined(file)}
    absent = [
        name
        for name in filter(None, names.split(", "))
        if not any(fnmatchcase(one, name) for one in defined)
    ]
    assert absent == [], f"{page} says that {path} has them"


def test_a_name_that_is_mentioned_stands_in_the_code() -> None:
    sources = [*ROOT.glob("app/**/*.py"), *ROOT.glob("tests/**/*.py")]
    words = {
        word
        for path in sources
        if path != Path(__file__)
        for word in re.findall(r"\w+", path.read_text())
    }
    prefixes = {word.partition("_")[0] + "_" for word in words}

    unknown = [
        (page, span)
        for page in PAGES
        for span in _spans(page)
        if (name := NAME.fullmatch(span)) and span not in NOT_OURS and not _files(span)
        if not set(name[1].split(".")) <= words | prefixes
    ]

    assert unknown == []


@pytest.mark.parametrize(("page", "command"), sorted(set(_commands())))
def test_a_command_that_is_named_can_be_run(page: str, command: str) -> None:
    program, *words = shlex.split(command.partition("</")[0], comments=True)

    match program:
        case "pytest":
            absent = [one for one in words if one.startswith("tests") and not _files(one)]
        case "python" | "python3":
            module = words[1].replace(".", "/")
            absent = [] if words[1] == "venv" or _module_exists(module) else [module]
        case "pip":
            absent = sorted(_extras_of(words) - _extras())
        case _:
            script = (ROOT / program).read_text()
            absent = [one for one in words if f" {one}) " not in script]

    assert absent == [], f"{page}: {command}"


def _defined(path: Path) -> Iterator[str]:
    """The names of a module's own definitions, and those inside its classes after a dot."""
    for node in ast.parse(path.read_text()).body:
        yield from _bound(node)
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{name}" for inner in node.body for name in _bound(inner))


def _bound(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.Assign(targets=targets):
            yield from (one.id for one in targets if isinstance(one, ast.Name))


def _module_exists(module: str) -> bool:
    return (ROOT / f"{module}.py").exists() or (ROOT / module / "__main__.py").exists()


def _extras_of(words: list[str]) -> set[str]:
    named = [re.fullmatch(r"\.\[(.+)\]", one) for one in words]
    return {extra for one in named if one for extra in one[1].split(",")}


def _extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])
