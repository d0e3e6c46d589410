import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_training import made_examples, records

from labelcast.errors import InputError
from labelcast.tasks.prompts import Example
from labelcast.training.splits import Splits, digest

sizes = st.integers(2, 60)
seeds = st.integers(0, 10_000)


def pool(size: int) -> list[Example]:
    return made_examples(None, records(size))


def contents(examples: Sequence[Example]) -> list[str]:
    return [example.content for example in examples]


@given(sizes, st.integers(1, 20), seeds)
def test_disjoint_and_complete(size: int, test_size: int, seed: int) -> None:
    """Every example is used to test or to train, and none for both."""
    splits = Splits.make(pool(size + test_size), test_size, seed=seed)
    test, order = contents(splits.test), contents(splits.order)
    assert len(test) == test_size
    assert len(order) == splits.largest_budget == size
    assert not set(test) & set(order)
    assert set(test) | set(order) == set(contents(pool(size + test_size)))


@given(sizes, seeds, st.randoms())
def test_order_of_the_file_does_not_matter(size: int, seed: int, rng: random.Random) -> None:
    """Shuffled records give the same splits."""
    rows = list(records(size + 5))
    rng.shuffle(rows)
    mixed = Splits.make(made_examples(None, rows), 5, seed=seed)
    plain = Splits.make(pool(size + 5), 5, seed=seed)
    assert contents(mixed.test) == contents(plain.test)
    assert contents(mixed.order) == contents(plain.order)


@given(sizes, sizes, seeds, st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.5]))
def test_budgets_nest(one: int, two: int, seed: int, share: float) -> None:
    """The labels of the smaller budget are the first of the larger one, in both sets."""
    small, large = sorted((one, two))
    splits = Splits.make(pool(large + 3), 3, seed=seed)
    inner, outer = splits.budget(small, share), splits.budget(large, share)
    assert outer.train[: len(inner.train)] == inner.train
    assert outer.validation[: len(inner.validation)] == inner.validation
    assert not set(contents(outer.train)) & set(contents(outer.validation))
    assert len(inner.train) + len(inner.validation) == small
    assert len(inner.validation) >= 1
    assert abs(len(inner.validation) - share * small) <= 1


def test_the_share_of_the_papers_budgets() -> None:
    """At the published budgets exactly a fifth of the labels validates."""
    splits = Splits.make(pool(1003), 3, seed=0)
    for budget in (50, 100, 200, 500, 1000):
        assert len(splits.budget(budget, 0.2).validation) == budget / 5


@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["yes", "no"])), min_size=12), seeds)
def test_duplicates_are_in_one_set(rows: list[tuple[int, str]], seed: int) -> None:
    """Of records with the same content one is used, the same whatever their order."""
    made = [{"text": f"t{number}", "y": answer} for number, answer in rows]
    examples = made_examples(None, made)
    distinct = len({number for number, _ in rows})
    if distinct < 2:
        return
    splits = Splits.make(examples, 1, seed=seed)
    assert len(splits.test) + len(splits.order) == distinct
    assert not set(contents(splits.test)) & set(contents(splits.order))
    back = Splits.make(made_examples(None, made[::-1]), 1, seed=seed)
    assert [e.answer for e in back.order] == [e.answer for e in splits.order]


def test_seeds() -> None:
    """A seed changes the training order and not the test set."""
    one, two = (Splits.make(pool(100), 30, seed=seed) for seed in (0, 1))
    assert contents(one.test) == contents(two.test)
    assert contents(one.order) != contents(two.order)
    assert one.test_digest == two.test_digest


def test_a_given_test_set() -> None:
    """No training example is in a given test set, even if that is not scored completely."""
    splits = Splits.make(pool(50), 10, test=pool(20), seed=0)
    assert len(splits.test) == 10
    assert not set(contents(splits.order)) & set(contents(pool(20)))
    assert splits.largest_budget == 30
    assert len(Splits.make(pool(50), 90, test=pool(20), seed=0).test) == 20


def test_digest_ignores_order() -> None:
    """The digest depends on contents and answers, not on their order."""
    examples = pool(10)
    assert digest(examples) == digest(examples[::-1])
    assert digest(examples) != digest(examples[:9])


def test_too_few_says_how_many_are_missing() -> None:
    """A budget or a test set that is too large says how many labels are missing."""
    with pytest.raises(InputError, match="needs 5 more"):
        Splits.make(pool(15), 20, seed=0)
    splits = Splits.make(pool(30), 20, seed=0)
    with pytest.raises(InputError, match="needs 40 more labelled"):
        splits.budget(50, 0.2)
    with pytest.raises(InputError, match="2 or more"):
        splits.budget(1, 0.2)
    with pytest.raises(InputError, match="at least 1"):
        Splits.make(pool(15), 0, seed=0)
    with pytest.raises(InputError, match="test set is empty"):
        Splits.make(pool(15), 5, test=[], seed=0)


def test_an_example_without_an_answer() -> None:
    """The error for an unlabelled example says where it is."""
    from dataclasses import replace

    bare = replace(pool(1)[0], answer=None)
    with pytest.raises(InputError, match="line 1"):
        Splits.make([bare], 1, seed=0)
