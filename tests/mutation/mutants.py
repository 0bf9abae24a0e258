"""The mutants of a module, made by the operators of Cosmic Ray."""

import ast
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

# As PIT's defaults: a bound moved by one place, a condition turned round, an operation turned into
# its opposite. Cosmic Ray's other 180 replace each operator by each other one; they are killed by
# the same tests, or raise at once, and only raise the share.
_COMPARISONS = """
    Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is
""".split()
_OPERATIONS = "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Mul Pow_Mul BitOr_BitAnd".split()
OPERATORS = [
    *(f"core/ReplaceComparisonOperator_{one}" for one in _COMPARISONS),
    *(f"core/ReplaceBinaryOperator_{one}" for one in _OPERATIONS),
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/AddNot",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/ExceptionReplacer",
    "core/NumberReplacer",
    "core/ZeroIterationForLoop",
]

Place = tuple[int, int]
Function = tuple[str, int, int]  # its name, its first and its last line


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: its module below `app`, the function it stands in, and the changed source."""

    module: str
    function: str
    first_line: int  # of the function, its decorators included; 0 beside functions
    line: int
    change: str
    source: str

    @property
    def name(self) -> str:
        """Names the change without a line number, so that it outlives edits elsewhere."""
        return f"{self.module} {self.function}: {self.change}"


def mutants_of(path: Path, module: str) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines. Those of one text are numbered."""
    found = sorted(_all(path.read_text(), module), key=lambda one: one.line)
    seen: Counter[str] = Counter()
    numbered = []
    for one in found:
        seen[one.name] += 1
        number = seen[one.name]
        change = one.change if number == 1 else f"{one.change} #{number}"
        numbered.append(replace(one, change=change))
    return numbered


def _all(source: str, module: str) -> Iterator[Mutant]:
    tree = ast.parse(source)
    quiet, functions = list(_left_out(tree)), list(_functions(tree))
    lines = source.splitlines(keepends=True)
    nodes = list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        operator = plugins.get_operator(name)()
        positions = [at for node in nodes for at in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(positions):
            if any(first <= start <= last for first, last in quiet):
                continue
            mutated = _mutated(source, operator, occurrence)
            if mutated is None:
                continue
            function, first_line = _owner(tree, functions, start[0])
            change = _change(lines, mutated, start, end)
            yield Mutant(module, function, first_line, start[0], change, mutated)


def _change(lines: list[str], mutated: str, start: Place, end: Place) -> str:
    """The text that is replaced and the text in its place."""
    before = len("".join(lines[: start[0] - 1])) + start[1]
    after = len("".join(lines[: end[0] - 1])) + end[1]
    source = "".join(lines)
    new = mutated[before : len(mutated) - (len(source) - after)]
    return f"{' '.join(source[before:after].split())} -> {' '.join(new.split())}"


def _mutated(source: str, operator: Operator, occurrence: int) -> str | None:
    """The changed source, or None where it would be no Python: a star need not be a product."""
    with contextlib.suppress(SyntaxError, AttributeError):  # Cosmic Ray on `except module.Error`
        mutated = mutate_code(source, operator, occurrence)
        if mutated is not None:
            compile(mutated, "mutant", "exec", dont_inherit=True)
            return str(mutated)
    return None


def _left_out(tree: ast.Module) -> Iterator[tuple[Place, Place]]:
    """Types are checked by mypy, and whether a dataclass is frozen or has slots is no rule."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            said = getattr(node, name, None)
            if isinstance(said, ast.expr):
                yield _span(said)
        for one in getattr(node, "decorator_list", ()):
            yield _span(one)
        if isinstance(node, ast.arguments) and node.kwonlyargs:
            yield from _bare_star(node)


def _span(node: ast.expr) -> tuple[Place, Place]:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def _bare_star(node: ast.arguments) -> Iterator[tuple[Place, Place]]:
    """The star before arguments that are given by name: all between its two neighbours."""
    before = [*node.posonlyargs, *node.args]
    after = node.kwonlyargs[0]
    start = (before[-1].end_lineno or 0, before[-1].end_col_offset or 0) if before else None
    yield start or (after.lineno - 1, 0), (after.lineno, after.col_offset)


def _owner(tree: ast.Module, functions: list[Function], line: int) -> tuple[str, int]:
    """The function of a line; beside functions, the class or the constant, and no first line."""
    for name, first, last in functions:
        if first <= line <= last:
            return name, first
    for node in tree.body:
        if node.lineno <= line <= (node.end_lineno or 0):
            target = node.targets[0] if isinstance(node, ast.Assign) else node
            return getattr(target, "name", None) or getattr(target, "id", "(module)"), 0
    return "(module)", 0


def _functions(tree: ast.Module) -> Iterator[Function]:
    """Functions of the module and methods of its classes."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from (
                (f"{node.name}.{one.name}", _first(one), one.end_lineno or 0)
                for one in node.body
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, _first(node), node.end_lineno or 0


def _first(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The line that a code object gives as its first."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])
