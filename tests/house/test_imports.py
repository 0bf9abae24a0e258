"""The sandbox is closed in both directions for each module, and a new module finds its floor.

Imports are added to the graph that import-linter judges, one at a time, and taken away again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import grimp
import pytest
from importlinter import Contract
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.contracts.protected import ProtectedContract

ROOT = Path(__file__).parents[2]
CONFIGURATION = read_configuration(str(ROOT / "pyproject.toml"))
CONTRACT_TYPES: dict[str, type[Contract]] = {
    "forbidden": ForbiddenContract,
    "layers": LayersContract,
    "protected": ProtectedContract,
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("app", include_external_packages=True, cache_dir=None)


def test_every_file_of_the_app_is_in_the_graph_that_is_judged(graph: grimp.ImportGraph) -> None:
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "app").rglob("*.py")]

    modules = {".".join(path.parts).removesuffix(".__init__") for path in files}

    assert _inside(graph, "app") == modules


def test_the_contracts_hold_today(graph: grimp.ImportGraph) -> None:
    broken = [one.name for one in _contracts() if not _is_kept(one, graph)]

    assert broken == []


def test_no_module_but_those_of_the_command_line_may_import_the_sandbox(
    graph: grimp.ImportGraph,
) -> None:
    contract = _contract("Nothing but the command line imports the sandbox")
    others = _inside(graph, "app") - _inside(graph, "app.cli") - _inside(graph, "app.sandbox")

    unnoticed = [
        module
        for module in sorted(others)
        if _is_kept_with(contract, graph, importer=module, imported="app.sandbox.server")
    ]

    assert unnoticed == []
    assert {"app", "app.__main__", "app.main", "app.migrations.env"} <= others


def test_no_module_of_the_sandbox_may_import_what_it_is_a_stand_in_for(
    graph: grimp.ImportGraph,
) -> None:
    contract = _contract("The sandbox knows nothing of what it is a stand-in for")

    unnoticed = [
        module
        for module in sorted(_inside(graph, "app.sandbox"))
        if _is_kept_with(contract, graph, importer=module, imported="app.errors")
    ]

    assert unnoticed == []


def test_a_module_of_the_sandbox_may_import_no_module_outside_it(graph: grimp.ImportGraph) -> None:
    contract = _contract("The sandbox knows nothing of what it is a stand-in for")
    outside = _inside(graph, "app") - _inside(graph, "app.sandbox") - {"app"}

    unnoticed = [
        module
        for module in sorted(outside)
        if _is_kept_with(contract, graph, importer="app.sandbox.controls", imported=module)
    ]

    assert unnoticed == []


def test_a_new_module_of_the_app_has_to_find_its_layer(graph: grimp.ImportGraph) -> None:
    contract = _contract("Layers: each line may import only lines below it")
    grown = deepcopy(graph)

    grown.add_module("app.newcomer")

    assert not _is_kept(contract, grown)


@pytest.mark.parametrize(
    ("name", "importer", "imported"),
    [
        ("Nothing but the command line imports the sandbox", "app.newcomer", "app.sandbox.server"),
        (
            "The sandbox knows nothing of what it is a stand-in for",
            "app.sandbox.server",
            "app.newcomer",
        ),
    ],
)
def test_a_new_module_of_the_app_is_kept_apart_from_the_sandbox(
    graph: grimp.ImportGraph, name: str, importer: str, imported: str
) -> None:
    contract = _contract(name)
    grown = deepcopy(graph)

    grown.add_module("app.newcomer")

    assert not _is_kept_with(contract, grown, importer=importer, imported=imported)


def _inside(graph: grimp.ImportGraph, package: str) -> set[str]:
    return {package, *graph.find_descendants(package)}


def _contracts() -> list[Contract]:
    return [
        CONTRACT_TYPES[options["type"]](options["name"], CONFIGURATION["session_options"], options)
        for options in CONFIGURATION["contracts_options"]
    ]


def _contract(name: str) -> Contract:
    (found,) = (one for one in _contracts() if one.name == name)
    return found


def _is_kept(contract: Contract, graph: grimp.ImportGraph) -> bool:
    # A contract may take what it ignores out of the graph.
    return contract.check(deepcopy(graph), verbose=False).kept


def _is_kept_with(
    contract: Contract, graph: grimp.ImportGraph, *, importer: str, imported: str
) -> bool:
    with _added(graph, importer, imported):
        return _is_kept(contract, graph)


@contextmanager
def _added(graph: grimp.ImportGraph, importer: str, imported: str) -> Iterator[None]:
    graph.add_import(importer=importer, imported=imported, line_number=1, line_contents="")
    yield
    graph.remove_import(importer=importer, imported=imported)
