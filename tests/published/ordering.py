"""`order` to `order5`, pages, counts and ids: what every long list understands."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.published.scene import Check, Scene

Scope = Callable[[Scene], Awaitable[dict[str, Any]]]
"""What all records of a check share, and by which a list is narrowed to them."""

# What a field is filled with: a low, a middle and a high value.
_VALUES: Mapping[type, tuple[Any, Any, Any]] = {str: ("a", "m", "z"), int: (1, 5, 9)}


def checks(fields: Mapping[str, type], scope: Scope) -> dict[str, Check]:
    """A check for each parameter; a list is sorted by up to five of its `fields`."""
    names = list(fields)
    found: dict[str, Check] = {
        "count": _counted(scope),
        "idonly": _ids_only(scope),
        "pageinate": _paged(scope),
        "page_no": _paged(scope),
        "page_size": _paged(scope),
    }
    for number in range(1, 6):
        suffix = "" if number == 1 else str(number)
        sorted_by = {name: fields[name] for name in names[:number]}
        found[f"order{suffix}"] = _ordered(sorted_by, scope, descends=False)
        found[f"orderdesc{suffix}"] = _ordered(sorted_by, scope, descends=True)
    return found


def _ordered(fields: Mapping[str, type], scope: Scope, *, descends: bool) -> Check:
    """Records that differ in the last field only are sorted by it, whichever was made first."""
    *equal, last = fields
    orders = [f"order{'' if number == 1 else number}" for number in range(1, len(fields) + 1)]
    asked = dict(zip(orders, fields, strict=True))
    direction = {orders[-1].replace("order", "orderdesc"): str(descends).lower()}
    low, middle, high = _VALUES[fields[last]]

    async def check(scene: Scene) -> None:
        same = {**await scope(scene), **{name: _VALUES[fields[name]][1] for name in equal}}
        made = {one: await scene.make(**{**same, last: one}) for one in (middle, low, high)}
        rising = [made[one]["id"] for one in (low, middle, high)]

        shown = await scene.ids(**asked, **direction)
        without = await scene.ids(**{order: asked[order] for order in orders[:-1]})

        assert shown == (rising[::-1] if descends else rising)
        assert without not in (rising, rising[::-1])

    return check


def _counted(scope: Scope) -> Check:
    async def check(scene: Scene) -> None:
        shared = await scope(scene)
        for _ in range(3):
            await scene.make(**shared)

        assert len(await scene.records(**_asked(shared), count="2")) == 2
        assert len(await scene.records(**_asked(shared), count="true")) == 3

    return check


def _ids_only(scope: Scope) -> Check:
    async def check(scene: Scene) -> None:
        made = await scene.make(**await scope(scene))

        assert await scene.records(idonly="true") == [{"id": made["id"]}]
        [shown] = await scene.records(idonly="false")
        assert len(shown) > 1

    return check


def _paged(scope: Scope) -> Check:
    """Three pages of two show five records once each; without `pageinate` there are no pages."""

    async def check(scene: Scene) -> None:
        shared = await scope(scene)
        for _ in range(5):
            await scene.make(**shared)
        asked = {**_asked(shared), "page_size": "2"}

        pages = [
            await scene.ids(**asked, page_no=str(number), pageinate="true")
            for number in range(1, 5)
        ]
        unpaged = await scene.ids(**asked, page_no="2", pageinate="false")

        assert [len(page) for page in pages] == [2, 2, 1, 0]
        seen = [one for page in pages for one in page]
        assert sorted(seen) == sorted(unpaged) == sorted(scene.made)

    return check


def _asked(shared: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in shared.items() if name.endswith("_id")}
