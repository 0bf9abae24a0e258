"""Every plant still fits today's code, so that a refactoring takes the plants along."""

from collections import Counter

import pytest

from tests.planted.planting import ROOT, DoesNotApply, planted, try_out
from tests.planted.plants import PLANTS, Plant


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_changes_one_place_of_todays_code_and_leaves_it_readable(plant: Plant) -> None:
    source = (ROOT / plant.file).read_text()

    broken = planted(plant, source)

    assert broken != source
    compile(broken, plant.file, "exec")


def test_a_plant_whose_text_is_gone_is_refused() -> None:
    moved = Plant("moved", "app/rules/retry.py", "text that stands nowhere", "", "")

    with pytest.raises(DoesNotApply, match="stands 0 times"):
        planted(moved, (ROOT / moved.file).read_text())


def test_there_are_forty_plants_and_no_two_share_a_name() -> None:
    names = Counter(one.name for one in PLANTS)

    assert len(names) >= 40
    assert max(names.values()) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_simulation_finds_a_planted_bug_and_says_by_what() -> None:
    (plant,) = [one for one in PLANTS if one.name == "refund is not taken off"]

    verdict = try_out(plant, schedules=60, patience_s=240)

    assert verdict.found_at is not None
    assert verdict.invariant.startswith("AssertionError")
