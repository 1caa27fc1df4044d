"""Rows dealt out to clients: all of them, once each, and what a batch then holds."""

import itertools

import numpy as np
import pytest

from repr_jax.data import splits, synthetic

LABELS = np.random.default_rng(0).integers(0, 5, size=600)


def deal(**options):
    return splits.dirichlet(LABELS, **dict(num_clients=4, alpha=0.5) | options)


def test_shares_of_a_class_are_dirichlet_draws():
    """Mean 1 / clients, variance (1/4)(3/4) / (4 alpha + 1), of the first class."""
    found = [deal(alpha=2.0, fewest=1, seed=seed)[LABELS == 0] for seed in range(500)]
    shares = np.stack([np.bincount(x, minlength=4) / len(x) for x in found])
    np.testing.assert_allclose(shares.mean(0), 0.25, atol=0.03)
    np.testing.assert_allclose(shares.var(0), 0.1875 / 9, rtol=0.2)


def test_every_client_has_enough_rows_and_the_seed_says_which():
    found = deal(num_clients=8, alpha=0.1, fewest=20)
    assert found.dtype == np.int32 and np.bincount(found).min() >= 20
    np.testing.assert_array_equal(found, deal(num_clients=8, alpha=0.1, fewest=20))
    assert (found != deal(num_clients=8, alpha=0.1, fewest=20, seed=1)).any()


def test_large_alpha_makes_clients_alike_and_small_ones_few_classes():
    def largest(alpha):  # share of a client's most frequent class
        found = deal(alpha=alpha, fewest=1)
        tables = [np.bincount(LABELS[found == c], minlength=5) for c in range(4)]
        return np.mean([t.max() / t.sum() for t in tables])

    assert largest(1e4) < 0.25 < 0.6 < largest(0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_clients=0), "num_clients"),
        (dict(alpha=0.0), "alpha"),
        (dict(num_clients=7, fewest=100), "expected 100 rows for each of 7 clients"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        deal(**options)


def made(**options):
    dataset = synthetic.blobs(num_examples=64, size=2)
    options = dict(num_clients=3, alpha=0.5, fewest=5) | options
    return dataset, splits.clients(dataset=dataset, **options)


def test_a_batch_has_rows_of_each_client_in_turn_each_once_an_epoch():
    dataset, found = made()
    (every,) = dataset.evaluate("train", 64)
    client = splits.dirichlet(every["label"], num_clients=3, alpha=0.5, fewest=5)
    sizes = found.fixed["client_sizes"]
    np.testing.assert_array_equal(sizes, np.bincount(client))
    seen = [[], [], []]
    for step, batch in enumerate(itertools.islice(found.train(12), 40)):
        rows = found.train_rows(step, 12)
        np.testing.assert_array_equal(batch["image"], every["image"][rows])
        np.testing.assert_array_equal(client[rows], np.repeat([0, 1, 2], 4))
        for c in range(3):
            seen[c].extend(rows[4 * c : 4 * c + 4])
    for c, size in enumerate(sizes):
        assert set(seen[c][:size]) == set(np.flatnonzero(client == c))
    late = next(found.train(12, start_step=7))
    expected = next(itertools.islice(found.train(12), 7, None))
    np.testing.assert_array_equal(late["image"], expected["image"])


def test_a_share_of_each_clients_labels_is_known_always_of_the_same_rows():
    _, found = made(labeled=0.25)
    sizes, known = found.fixed["client_sizes"], {}
    for step, batch in enumerate(itertools.islice(found.train(12), 40)):
        for row, labeled in zip(found.train_rows(step, 12), batch["labeled"]):
            assert known.setdefault(row, labeled) == labeled
    assert len(known) == 64 and sum(known.values()) == sum(np.round(0.25 * sizes))
    assert next(made()[1].train(12))["labeled"].all()


def test_evaluation_stays_as_it_is():
    dataset, found = made()
    for a, b in zip(dataset.evaluate("test", 10), found.evaluate("test", 10)):
        assert set(a) == set(b)
        np.testing.assert_array_equal(a["image"], b["image"])


def test_a_batch_that_clients_cannot_share_is_refused():
    with pytest.raises(ValueError, match="a multiple of the 3 clients; got 8"):
        next(made()[1].train(8))
