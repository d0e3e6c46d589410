"""What holds for every method that chooses before labelling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from example_selectors import register
from selection.small_selection import METHODS, method, small_pool, vectors

from labelcast.errors import InputError, RunError
from labelcast.selection.methods.facility_location import FacilityLocation
from labelcast.selection.pool import Need, Pool
from labelcast.selection.registry import own_names, selector, selector_names
from labelcast.selection.selector import Selector, select


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("n", [1, 7, 60])
def test_a_seed_chooses_the_same_different_positions(name: str, n: int) -> None:
    pool = small_pool(60)
    found, again = (select(method(name, 60), pool, n, seed=3) for _ in range(2))
    assert len(set(found.positions.tolist())) == n
    assert found.positions.tolist() == again.positions.tolist()
    np.testing.assert_array_equal(found.values, again.values)


@pytest.mark.parametrize("name", METHODS)
def test_a_pool_of_duplicates_gives_different_positions(name: str) -> None:
    pool = small_pool(
        40,
        embeddings=np.repeat(vectors(1), 40, axis=0),
        confidence=np.full(40, 0.5),
        margin=np.full(40, 0.5),
    )
    found = select(method(name, 40), pool, 12, seed=1)
    assert len(set(found.positions.tolist())) == 12


CONTINUES = ("k-centre", "facility-location", "typical", "gp-variance")


@pytest.mark.parametrize("name", METHODS)
def test_what_was_chosen_before_is_not_chosen_again(name: str) -> None:
    before = [3, 0, 17, 20]
    pool = small_pool(40, chosen=before)
    made = method(name, 40)
    found = select(made, pool, 36, seed=2)
    assert sorted([*found.positions.tolist(), *before]) == list(range(40))
    with pytest.raises(InputError, match="more than the pool's 36"):
        select(made, pool, 37)


@pytest.mark.parametrize("made", [*map(selector, CONTINUES), FacilityLocation(dense=10)])
def test_a_second_choice_continues_the_first(made: Selector) -> None:
    """Five and then seven are the twelve that are chosen at once."""
    whole = select(made, small_pool(60), 12, seed=1).positions.tolist()
    rest = select(made, small_pool(60, chosen=whole[:5]), 7, seed=1)
    assert rest.positions.tolist() == whole[5:]


@pytest.mark.parametrize("name", METHODS)
def test_a_pool_of_one_example_gives_it(name: str) -> None:
    found = select(method(name, 1), small_pool(1), 1, seed=0)
    assert found.positions.tolist() == [0]


@pytest.mark.parametrize("name", METHODS)
def test_a_vector_of_zeros_is_an_example_too(name: str) -> None:
    rows = np.vstack([np.zeros((3, 5), np.float32), vectors(20)])
    found = select(method(name, 23), small_pool(23, embeddings=rows), 23, seed=0)
    assert sorted(found.positions.tolist()) == list(range(23))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("n", [0, -1, 11])
def test_a_number_that_cannot_be_chosen_is_refused(name: str, n: int) -> None:
    with pytest.raises(InputError, match="--n"):
        select(method(name, 10), small_pool(10), n)


LACKING = {
    "stratified": (Need.EMBEDDINGS, Pool(confidence=[0.1, 0.2])),
    "low-confidence": (Need.CONFIDENCE, Pool(embeddings=vectors(2))),
    "margin": (Need.MARGIN, Pool(confidence=[0.1, 0.2])),
    "k-centre": (Need.EMBEDDINGS, Pool(confidence=[0.1, 0.2])),
    "facility-location": (Need.EMBEDDINGS, Pool(confidence=[0.1, 0.2])),
    "typical": (Need.EMBEDDINGS, Pool(confidence=[0.1, 0.2])),
    "task-diversity": (Need.TASK_IDS, Pool(confidence=[0.1, 0.2])),
    "gp-variance": (Need.EMBEDDINGS, Pool(confidence=[0.1, 0.2])),
    "data-tailor": (Need.MODEL, Pool(embeddings=vectors(2))),
    "error-driven": (Need.TARGET, Pool(embeddings=vectors(2))),
}


@pytest.mark.parametrize("name", LACKING)
def test_a_missing_need_is_named_with_the_way_out(name: str) -> None:
    need, pool = LACKING[name]
    with pytest.raises(InputError, match=f"{name} needs .*") as caught:
        select(selector(name), pool, 1)
    assert (
        "Give" in str(caught.value) or "Name" in str(caught.value) or "Score" in str(caught.value)
    )
    assert need in selector(name).needs or name == "stratified"


def test_every_method_of_labelcast_is_found_by_its_modules_name() -> None:
    assert len(own_names()) == 18
    for name in own_names():
        assert selector(name).name == name


def test_an_installed_package_adds_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """By entry points; one that is broken or chooses wrongly is named."""
    assert "outliers" not in selector_names()
    register(monkeypatch)
    assert "outliers" in selector_names()
    rows = np.vstack([np.ones((5, 2)), [[-1, 0]]])
    assert select(selector("outliers"), Pool(embeddings=rows), 1).positions.tolist() == [5]
    with pytest.raises(InputError, match="--method missing: the package labelcast-test-selectors"):
        selector("missing")
    with pytest.raises(RunError, match="misplaced: it did not return 2 different positions"):
        select(selector("misplaced"), Pool(embeddings=rows), 2)


@pytest.mark.parametrize("ids", [["a", None, "b"], ["a", "b", " "], ["a", "b", float("nan")]])
def test_a_missing_task_id_names_its_row(ids: list[Any]) -> None:
    with pytest.raises(InputError, match=r"task_ids: row [12] has .*a name is needed"):
        small_pool(3, task_ids=ids)
    with pytest.raises(InputError, match=r"target_ids: row [12] has"):
        small_pool(3, target_ids=ids)


def test_task_ids_may_be_an_array() -> None:
    ids = np.array(["a", "b"] * 10)
    found = [select(selector("stratified"), small_pool(20, task_ids=i), 5) for i in (ids, [*ids])]
    assert found[0].positions.tolist() == found[1].positions.tolist()


def test_an_empty_pool_and_a_vector_that_is_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="no example is given"):
        Pool([])
    with pytest.raises(InputError, match="row 1 has a number that is not finite"):
        select(selector("k-centre"), Pool(embeddings=np.array([[1, 2], [np.nan, 1]])), 1)


def test_an_unknown_method_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no such method. Choose data-tailor, .*k-centre"):
        selector("best")
