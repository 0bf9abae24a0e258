"""One meaning, one name: of modules, types and functions, and docstrings that are sentences."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTICIPLES = frozenset(
    "heard told asked decided left kept taken given held leased opened seen made".split()
)
Function = ast.FunctionDef | ast.AsyncFunctionDef
Documentable = ast.Module | ast.ClassDef | Function


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {_module_name(path): ast.parse(path.read_text()) for path in ROOT.glob("app/**/*.py")}


def test_no_two_modules_share_a_name() -> None:
    assert _shared((name.rpartition(".")[2], name) for name in MODULES) == {}


def test_no_two_public_types_share_a_name() -> None:
    types = (
        (name, module)
        for module, tree in MODULES.items()
        for name in map(_type_name, tree.body)
        if name and not name.startswith("_")
    )

    assert _shared(types) == {}


def test_every_module_has_a_docstring() -> None:
    undocumented = {name for name, tree in MODULES.items() if not ast.get_docstring(tree)}

    assert undocumented == set()


def test_no_docstring_begins_like_a_question() -> None:
    questions = {
        name
        for module, tree in MODULES.items()
        for name, node in _documentable(module, tree)
        if re.match(r"(What|Which)\b", ast.get_docstring(node) or "")
    }

    assert questions == set()


def test_no_function_is_named_by_a_bare_participle() -> None:
    named = {
        name
        for module, tree in MODULES.items()
        for name, node in _documentable(module, tree)
        if isinstance(node, Function) and not _is_property(node)
        if node.name.strip("_") in PARTICIPLES
    }

    assert named == set()


def _shared(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names that more than one module has, each with these modules."""
    holders = defaultdict(list)
    for name, module in named:
        holders[name].append(module)
    return {name: modules for name, modules in holders.items() if len(modules) > 1}


def _type_name(statement: ast.stmt) -> str | None:
    """The name of a class or of a type alias; a type variable is no type of its own."""
    match statement:
        case ast.ClassDef(name=name):
            return name
        case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar"))):
            return None
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name if re.fullmatch(r"_?[A-Z]\w*[a-z]\w*", name) else None
    return None


def _documentable(name: str, node: Documentable) -> Iterator[tuple[str, Documentable]]:
    """A module, its classes and functions, and theirs, each under its dotted name."""
    yield name, node
    for child in node.body:
        if isinstance(child, ast.ClassDef | Function):
            yield from _documentable(f"{name}.{child.name}", child)


def _is_property(function: Function) -> bool:
    return any(
        ast.unparse(one) in {"property", "cached_property"} for one in function.decorator_list
    )
