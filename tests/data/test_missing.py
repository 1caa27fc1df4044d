"""Missing modalities: shares that are absent, and that a row always lacks the same."""

import collections

import jax
import numpy as np
import pytest

from repr_jax.data import arrays, missing, mnist, polymnist, synthetic

NAMES = ("a", "b", "c")
ROWS = 3000
DATA = {
    **{name: np.arange(ROWS, dtype=np.float32) for name in NAMES},
    "class": np.arange(ROWS) % 3,
}


def numbered(**keywords):
    """Three modalities whose content is the number of the row; 2,400 to train on."""
    keywords = dict(data=DATA, entries=NAMES, label="class") | keywords
    return arrays.load(**keywords)


def presence(data, split="train"):
    """[rows, modality] of a whole split, in order."""
    batches = list(data.evaluate(split, 1000))
    where = np.concatenate([batch["where"] for batch in batches])
    return np.concatenate([batch["present"] for batch in batches])[where]


WRAPPED = {
    "at_random": lambda **k: missing.at_random(rate=0.5, **k),
    "by_class": lambda **k: missing.by_class(rates=(0.2, 0.5, 0.8), **k),
    "by_content": lambda **k: missing.by_content(
        entry="a", threshold=1500, below=0.2, above=0.8, **k
    ),
    "in_blocks": lambda **k: missing.in_blocks(groups=(("a", "c"), "b"), **k),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_row_lacks_the_same_at_each_access(name):
    data = WRAPPED[name](dataset=numbered())
    seen = collections.defaultdict(set)
    for batch, _ in zip(data.train(500), range(12)):  # 2.5 epochs
        for row, present in zip(batch["a"], batch["present"]):
            seen[row].add(tuple(present))
    for batch in data.evaluate("train", 700):
        for row, present, there in zip(batch["a"], batch["present"], batch["where"]):
            if there:
                seen[row].add(tuple(present))
    assert len(seen) == 2400 and {len(s) for s in seen.values()} == {1}
    assert all(any(present) for s in seen.values() for present in s)
    assert len({present for s in seen.values() for present in s}) > 1
    later = next(data.train(500, start_step=7))
    for row, present in zip(later["a"], later["present"]):
        assert {tuple(present)} == seen[row]
    other = WRAPPED[name](dataset=numbered(), seed=1)
    assert (presence(other) != presence(data)).mean() > 0.1
    order = WRAPPED[name](dataset=numbered(seed=5))  # another order, the same rows
    np.testing.assert_array_equal(presence(order), presence(data))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_shares_are_those_of_the_module(rate):
    present = presence(missing.at_random(dataset=numbered(), rate=rate))
    share = rate * (1 - rate**2) / (1 - rate**3)
    error = (share * (1 - share) / len(present)) ** 0.5
    assert np.abs(1 - present.mean(axis=0) - share).max() < 4 * error
    if rate == 0.5:  # every subset as often as the others
        counts = np.bincount(present @ [1, 2, 4], minlength=8)
        assert counts[0] == 0
        assert np.abs(counts[1:] - 2400 / 7).max() < 4 * (2400 / 7) ** 0.5


def test_a_rate_for_each_modality():
    present = presence(missing.at_random(dataset=numbered(), rate=(0.0, 1.0, 0.3)))
    assert present[:, 0].all() and not present[:, 1].any()
    assert abs(present[:, 2].mean() - 0.7) < 0.04


def test_classes_lose_what_their_rates_say():
    rates = [[0.0, 0.9, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]
    data = missing.by_class(dataset=numbered(), rates=rates)
    labels = np.concatenate([b["label"] for b in data.evaluate("train", 2400)])
    present = presence(data)
    for label, rate in enumerate(rates):
        absent = 1 - present[labels == label].mean(axis=0)
        np.testing.assert_allclose(absent, rate, atol=0.08)
    small = missing.by_class(dataset=numbered(), rates=(0.1, 0.2))
    with pytest.raises(ValueError, match=r"label in \[0, 2\)"):
        next(small.train(4))


def test_content_decides_and_stays():
    data = missing.by_content(
        dataset=numbered(), entry="b", threshold=1500, below=0.0, above=0.9
    )
    rows = np.concatenate([b["b"] for b in data.evaluate("train", 2400)])
    present = presence(data)
    assert present[:, 1].all() and present[rows < 1500].all()
    high = present[rows >= 1500][:, [0, 2]]
    assert abs(high.mean() - 0.1) < 0.03
    with pytest.raises(ValueError, match=r"entry among .*got 'pixels'"):
        next(
            missing.by_content(
                dataset=numbered(), entry="pixels", threshold=0, below=0, above=0.5
            ).train(4)
        )


def test_blocks_are_whole_groups():
    present = presence(WRAPPED["in_blocks"](dataset=numbered()))
    kinds, counts = np.unique(present, axis=0, return_counts=True)
    np.testing.assert_array_equal(kinds, [[False, True, False], [True, False, True]])
    assert abs(counts[0] / counts.sum() - 0.5) < 0.04


def test_complete_rows_delete_the_others():
    thinned = missing.at_random(dataset=numbered(), rate=0.3)
    control = missing.complete_rows(dataset=thinned)
    for batches in (
        zip(thinned.train(100), control.train(100), range(3)),
        zip(thinned.evaluate("test", 250), control.evaluate("test", 250)),
    ):
        for batch, kept, *_ in batches:
            complete = batch["present"].all(axis=1)
            assert 0 < complete.sum() < len(complete)
            np.testing.assert_array_equal(kept["present"].all(axis=1), complete)
            np.testing.assert_array_equal(kept["present"].any(axis=1), complete)
            assert ("where" in batch) == ("where" in kept)
            if "where" in batch:
                np.testing.assert_array_equal(kept["where"], batch["where"] & complete)


def test_splits_that_are_not_named_are_as_they_were():
    data = missing.at_random(dataset=numbered(), splits=("train",))
    assert "present" in next(data.train(4))
    assert "present" in next(data.evaluate("train", 4))
    assert "present" not in next(data.evaluate("test", 4))
    data = missing.at_random(dataset=numbered(), splits=("test",))
    assert "present" not in next(data.train(4))
    assert "present" in next(data.evaluate("test", 4))


def test_what_the_dataset_lacks_stays_absent():
    own = np.ones((ROWS, 3), bool)
    own[:, 0], own[::2, 1] = False, False
    plain = numbered(data={**DATA, "mask": own}, present="mask")
    present = presence(missing.at_random(dataset=plain, rate=0.6))
    before = presence(plain)
    assert not (present & ~before).any() and present.any(axis=1).all()
    assert present.sum() < before.sum()


def test_views_that_are_drawn_anew_keep_what_their_digit_has():
    """PolyMNIST draws new tuples each step: the digit of m0 is the row."""
    names = ("m0", "m2", "m4")
    data = missing.at_random(dataset=polymnist.composed(modalities=names))
    row_of = {x.tobytes(): i for i, x in enumerate(mnist.arrays("train")[0])}
    present = presence(data)
    for step in (0, 17, 18):
        batch = next(data.train(1500, step))
        rows = [row_of[digits[0].tobytes()] for digits in batch["digits"]]
        np.testing.assert_array_equal(batch["present"], present[rows])
    prepared = jax.jit(data.prepare)({k: v[:4] for k, v in batch.items()})
    np.testing.assert_array_equal(prepared["present"], batch["present"][:4])
    assert prepared["m4"].shape == (4, 28, 28, 3)


def test_processes_share_the_rows_of_a_batch(monkeypatch):
    data = missing.at_random(dataset=numbered())
    whole = next(data.train(8, 3))
    parts = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for index in range(2):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        parts.append(next(data.train(8, 3)))
    for name in whole:
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_array_equal(joined, whole[name])


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda d: missing.at_random(dataset=d, rate=1.0), ValueError, "below 1 for"),
        (lambda d: missing.at_random(dataset=d, rate=-0.1), ValueError, r"in \[0, 1\]"),
        (lambda d: missing.at_random(dataset=d, rate=(0, 0)), ValueError, r"\(3,\) or"),
        (lambda d: missing.at_random(dataset=d, seed=-1), ValueError, "seed >= 0"),
        (lambda d: missing.at_random(dataset=d, splits="dev"), ValueError, "splits"),
        (lambda d: missing.in_blocks(dataset=d, groups=()), ValueError, "one group"),
        (
            lambda d: missing.in_blocks(dataset=d, groups=(("a", "x"),)),
            ValueError,
            "got 'x'",
        ),
        (lambda d: missing.at_random(dataset=3), TypeError, "a dataset, or a function"),
        (
            lambda d: missing.at_random(dataset=synthetic.blobs),
            ValueError,
            "two modalities or more; got 0",
        ),
        (
            lambda d: missing.at_random(dataset=d._replace(train_rows=None)),
            ValueError,
            "training rows are numbered",
        ),
        (
            lambda d: missing.at_random(dataset=d).train(0),
            ValueError,
            "batch_size >= 1; got 0",
        ),
    ],
)
def test_wrong_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(numbered())
