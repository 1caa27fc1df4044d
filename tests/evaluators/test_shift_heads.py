"""Heads in and out of distribution: representations whose four accuracies are known."""

import itertools

import numpy as np
import pytest

from repr_jax.data import shift
from repr_jax.data.dataset import of_rows
from repr_jax.evaluators import shift_heads
from repr_jax.evaluators.common import Trained

SIZES = dict(zip(shift.SPLITS, (1_200, 1_500, 600, 1_500)))


def draws(split, num_classes, r_id):
    """Labels, attributes and rows of a split; every pair is as frequent as it can."""
    size, first = SIZES[split], 10_000 * shift.SPLITS.index(split)
    rows = first + np.arange(size)
    label = np.arange(size) % num_classes
    if split.startswith("ood"):
        return label, np.arange(size) // num_classes % num_classes, rows
    spurious = shift.attributes(label, rows, r=r_id, num_values=num_classes, seed=0)
    return label, spurious, rows


def drawn(num_classes, r_id):
    """A dataset of labels and attributes alone."""

    def take(split, rows):
        columns = (a[rows] for a in draws(split, num_classes, r_id))
        return dict(zip(("label", "spurious", "index"), columns))

    return of_rows("drawn", take, SIZES, seed=0)


def knows(num_classes, *names):
    """A representation: one-hot columns of these entries, and a little noise each."""

    def represent(batch, key=None):
        columns = [np.eye(num_classes)[batch[name]] for name in names]
        noise = [
            np.random.default_rng(index).normal(size=num_classes * len(names))
            for index in np.asarray(batch["index"])
        ]
        return np.concatenate(columns, axis=1) + 0.01 * np.stack(noise)

    return Trained({"represent": represent}, lambda batch: batch, (), "")


def found(model, dataset, **options):
    return shift_heads.evaluate(model, dataset, **options).numbers


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_the_head_in_distribution_ties_where_a_perfect_representation_does_not(
    num_classes,
):
    """At r = 1 it weighs label and attribute alike, and guesses where they disagree."""
    k = num_classes
    numbers = found(knows(k, "label", "spurious"), drawn(k, 1.0))
    assert numbers["id_head/id"] == numbers["ood_head/ood"] == 1
    assert numbers["ood_head/id"] == 1
    for name, expected in (
        ("id_head/ood", (k + 1) / (2 * k)),
        ("head_bias", (k - 1) / (2 * k)),
        ("sensitivity/id_head", (k - 1) / (2 * k)),
        ("small_id_head/ood", (k + 1) / (2 * k)),
    ):
        assert numbers[name] == pytest.approx(expected, abs=0.05), name
    assert numbers["sensitivity/ood_head"] == 0
    low, high = numbers["id_head/ood/low"], numbers["id_head/ood/high"]
    assert low < numbers["id_head/ood"] < high < low + 0.08


def test_below_r_1_the_head_in_distribution_is_perfect_too():
    numbers = found(knows(3, "label", "spurious"), drawn(3, 0.5))
    assert numbers["id_head/ood"] == numbers["worst_group/id_head"] == 1
    assert numbers["head_bias"] == numbers["sensitivity/id_head"] == 0


def test_a_representation_of_the_attribute_alone():
    """Right at r = 1 and at chance without correlation, where no head can help."""
    model = knows(2, "spurious")
    numbers = found(model, drawn(2, 1.0))
    assert numbers["id_head/id"] == 1 and numbers["id_head/ood"] == 0.5
    assert numbers["worst_group/id_head"] == 0
    assert numbers["ood_head/ood"] == pytest.approx(0.5, abs=0.05)
    read = found(model, drawn(2, 1.0), target="spurious")
    accuracies = {n: v for n, v in read.items() if n.endswith(("/id", "/ood"))}
    assert len(accuracies) == 6 and set(accuracies.values()) == {1.0}


def test_a_representation_of_the_label_alone_is_robust():
    model = knows(3, "label")
    evaluation = shift_heads.evaluate(model, drawn(3, 1.0), num_head=60)
    numbers = evaluation.numbers
    differences = {n: v for n, v in numbers.items() if n.startswith(("sens", "head_b"))}
    assert set(differences.values()) == {0.0}
    others = {v for n, v in numbers.items() if n not in differences}
    assert others == {1.0}
    assert evaluation.chance["ood_head/ood"] == pytest.approx(1 / 3)
    rows = {row[0]: row[1] for row in evaluation.tables[0].rows}
    assert rows == {"id head": 1_200, "ood head": 60, "small id head": 60}


def test_differences_add_up():
    rng = np.random.default_rng(0)
    names = [f"{h}_head/{s}" for h, s in itertools.product(("id", "ood"), repeat=2)]
    acc = dict(zip(names, rng.uniform(size=(4, 100))))
    found = shift_heads.differences(acc)
    lost = acc["id_head/id"] - acc["ood_head/ood"]
    np.testing.assert_allclose(
        found["sensitivity/id_head"], lost + found["head_bias"], atol=1e-12
    )
    np.testing.assert_array_equal(
        found["sensitivity/ood_head"], acc["ood_head/id"] - acc["ood_head/ood"]
    )


def test_no_sensitivity_where_both_tests_are_the_same_rows():
    data = drawn(3, 0.3)

    def evaluate(split, batch_size):
        return data.evaluate("test" if split == "ood_test" else split, batch_size)

    numbers = found(knows(3, "spurious"), data._replace(evaluate=evaluate))
    assert numbers["sensitivity/id_head"] == numbers["sensitivity/ood_head"] == 0
    assert 0.3 < numbers["id_head/id"] < 0.9


def clouds(seed, num_rows):
    """Three overlapping classes, the labels 4, 7 and 9."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num_rows) % 3
    x = rng.normal(size=(num_rows, 5)) + 1.5 * np.eye(3, 5)[labels]
    return x.astype("f"), np.array([4, 7, 9])[labels]


def test_a_head_is_the_same_when_it_is_fitted_again():
    x, y = clouds(0, 300)
    first, again = (shift_heads.fit(x, y, penalties=(1.0, 30.0)) for _ in range(2))
    for a, b in zip(first.fitted, again.fitted):
        np.testing.assert_array_equal(a, b)
    assert first.converged and first.num_rows == 300
    x_test, y_test = clouds(1, 600)
    predictions = shift_heads.predict(first, x_test)
    assert 0.6 < np.mean(predictions == y_test) < 0.9


def test_permuted_classes_permute_the_weights():
    x, y = clouds(0, 300)
    turned = np.where(y == 4, 9, np.where(y == 7, 4, 7))  # 4, 7, 9 -> 9, 4, 7
    first, other = (shift_heads.fit(x, t, penalties=(10.0,)) for t in (y, turned))
    order = [2, 0, 1]  # of the second's classes, as the first has them
    np.testing.assert_allclose(
        other.fitted.weights[:, order], first.fitted.weights, atol=1e-5
    )
    x_test, _ = clouds(1, 600)
    expected = np.array([9, 4, 7])[
        np.searchsorted([4, 7, 9], shift_heads.predict(first, x_test))
    ]
    np.testing.assert_array_equal(shift_heads.predict(other, x_test), expected)


def test_the_penalty_is_chosen_on_held_out_rows():
    """Noise in many dimensions wants a strong one; of equals the strongest is used."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = rng.normal(size=(120, 100)).astype("f")
    x[:, 0] += 2.5 * (2 * y - 1)
    assert shift_heads.fit(x, y, penalties=(1e-4, 100.0)).penalty == 100.0
    assert shift_heads.fit(x[:, :1] * 10, y, penalties=(1.0, 5.0)).penalty == 5.0
    for options in (dict(penalties=()), dict(penalties=(1.0,), held_out=1.0)):
        with pytest.raises(ValueError, match="expected penalties"):
            shift_heads.fit(x, y, **options)
    with pytest.raises(ValueError, match="two or more classes"):
        shift_heads.fit(x, y * 0, penalties=(1.0,))


def test_bootstrap_repeats_and_has_the_binomial_spread():
    right = np.stack([np.arange(400) < 100, np.arange(400) < 100, np.ones(400, bool)])
    one, two = (
        shift_heads.resampled(right, 4_000, np.random.default_rng(seed))
        for seed in (0, 0)
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one[0], one[1])  # the same rows for all heads
    assert np.all(one[2] == 1)
    np.testing.assert_allclose(np.mean(one[0]), 0.25, atol=0.002)
    np.testing.assert_allclose(np.std(one[0]), np.sqrt(0.25 * 0.75 / 400), rtol=0.05)


def test_worst_group_is_the_least_of_those_that_have_rows():
    label, spurious = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1])
    right = np.array([1, 0, 1, 1, 1, 0], bool)
    assert shift_heads.worst_group(right, label, spurious) == 0.5
    assert shift_heads.worst_group(~right, label, spurious) == 0.0


def test_what_is_missing_is_an_error():
    data = drawn(2, 1.0)
    model = knows(2, "label")
    only = data._replace(num_examples={"train": 10, "test": 10})
    with pytest.raises(ValueError, match="got none of ood_head, ood_test"):
        shift_heads.evaluate(model, only)
    with pytest.raises(ValueError, match="expected target among"):
        shift_heads.evaluate(model, data, target="domain")
    for name in ("num_head", "num_draws", "max_train"):
        with pytest.raises(ValueError, match=f"shift_heads: expected {name} >= 1"):
            shift_heads.evaluate(model, data, **{name: 0})
