"""Rows of batches: order, padding, and the split over processes."""

import os
import platform
import re
import threading
import time

import jax
import numpy as np
import pytest

from repr_jax.data import (
    arrays,
    dataset,
    dominoes,
    histology,
    missing,
    mnist,
    mnist_svhn_text,
    polymnist,
    scenes,
    sprites,
    streams,
    synthetic,
)

IMAGES = np.random.default_rng(0).integers(256, size=(40, 4, 4, 3), dtype=np.uint8)
ARRAYS = {"image": IMAGES, "label": np.arange(40) % 3}
SHIFT_SIZES = dict(num_train=60, num_test=30, num_head=10)
DATASETS = {
    "arrays": lambda seed=0: arrays.load(data=ARRAYS, label="label", seed=seed),
    "blobs": lambda seed=0: synthetic.blobs(num_examples=30, seed=seed),
    "multiview": lambda seed=0: synthetic.multiview(num_examples=30, size=8, seed=seed),
    "digits": lambda seed=0: mnist.digits(seed=seed),
    "missing": lambda seed=0: missing.at_random(
        dataset=synthetic.multiview(num_examples=30, size=8, seed=seed)
    ),
    "mnist_svhn_text": lambda seed=0: mnist_svhn_text.load(num_matches=1, seed=seed),
    "graph": lambda seed=0: synthetic.graph(num_nodes=60, seed=seed),
    "polymnist": lambda seed=0: polymnist.composed(modalities=("m0", "m3"), seed=seed),
    "scenes": lambda seed=0: scenes.with_attributes(seed=seed),
    "translated": lambda seed=0: polymnist.composed(
        modalities=("m0", "m3"), scale=0.75, seed=seed
    ),
    "sprites": lambda seed=0: sprites.load(**SHIFT_SIZES, size=16, seed=seed),
    "dominoes": lambda seed=0: dominoes.load(**SHIFT_SIZES, seed=seed),
    "histology": lambda seed=0: histology.load(**SHIFT_SIZES, size=16, seed=seed),
    "streams": lambda seed=0: streams.together(
        streams={name: DATASETS[name](seed) for name in ("blobs", "digits")},
        ratios={"digits": 3},
        evaluated="blobs",
    ),
}


COMMON = ("label", "where", "attributes", "spurious", "domain", "index", "factors")


@pytest.fixture(params=DATASETS)
def make(request):
    return DATASETS[request.param]


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def differ(a, b):
    return not all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


@pytest.fixture
def processes(monkeypatch):
    """Makes JAX believe that this is process `index` of `count`."""

    def become(index, count):
        monkeypatch.setattr(jax, "process_index", lambda: index)
        monkeypatch.setattr(jax, "process_count", lambda: count)

    return become


def test_epochs_are_permutations_laid_end_to_end():
    batches = [dataset.batch_indices(3, step, 10, 4) for step in range(10)]
    epochs = np.concatenate(batches).reshape(4, 10)
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_batch_may_be_larger_than_the_data():
    rows = dataset.batch_indices(0, 5, 3, 8)
    assert rows.shape == (8,) and set(rows) == {0, 1, 2}
    stream = np.concatenate([dataset.batch_indices(0, step, 3, 8) for step in range(6)])
    np.testing.assert_array_equal(rows, stream[40:48])


def test_padded_rows_cover_everything_once():
    rows, where = (np.stack(x) for x in zip(*dataset.padded_rows(10, 4)))
    np.testing.assert_array_equal(rows[where], np.arange(10))
    np.testing.assert_array_equal(where.sum(axis=1), [4, 4, 2])
    assert rows.shape == where.shape == (3, 4) and where.dtype == bool
    assert list(dataset.padded_rows(0, 4)) == []


def test_uniform_numbers_are_uniform_and_those_of_their_row():
    rows = np.arange(20_000)
    numbers = dataset.uniform(3, 1, rows, 4)
    assert numbers.min() >= 0 and numbers.max() < 1
    counts = np.stack([np.histogram(x, 20, (0, 1))[0] for x in numbers.T])
    assert np.abs(counts - 1000).max() < 5 * 1000**0.5
    both = np.concatenate([numbers, np.roll(numbers, 1, axis=0)], axis=1)
    off = np.corrcoef(both.T)[~np.eye(8, dtype=bool)]
    assert np.abs(off).max() < 5 / len(rows) ** 0.5
    np.testing.assert_array_equal(dataset.uniform(3, 1, rows[7:9], 4), numbers[7:9])
    np.testing.assert_array_equal(dataset.uniform(3, 1, rows[:5], 2), numbers[:5, :2])
    for seed, stream in ((4, 1), (3, 2), (2**32 - 1, 1)):
        assert (dataset.uniform(seed, stream, rows, 4) != numbers).all()


def test_training_depends_on_seed_and_step_alone(make):
    batches = take(make().train(8), 6)
    for step, batch in enumerate(take(make().train(8, start_step=3), 3), start=3):
        assert_equal(batch, batches[step])
    assert differ(batches[0], batches[1])
    assert differ(batches[0], next(make(seed=1).train(8)))


def test_training_crosses_an_epoch_and_still_resumes(make):
    steps = make().num_examples["train"] // 16 + 1
    assert_equal(take(make().train(16), steps + 1)[-1], next(make().train(16, steps)))


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_out_the_rows_of_a_batch(make, processes, count):
    whole = take(make().train(8), 2)[1]
    parts = []
    for index in range(count):
        processes(index, count)
        parts.append(take(make().train(8), 2)[1])
        assert {len(x) for x in jax.tree.leaves(parts[-1])} <= {8 // count, 24 // count}
    assert_equal(jax.tree.map(lambda *x: np.concatenate(x), *parts), whole)


def test_evaluation_is_the_same_on_every_process(make, processes):
    whole = next(make().evaluate("test", 16))
    processes(1, 2)
    assert_equal(next(make().evaluate("test", 16)), whole)


@pytest.mark.parametrize("split", ["train", "test"])
def test_evaluation_is_one_padded_pass_in_order(make, split):
    data = make()
    batch_size = data.num_examples[split] // 2 - 1  # so the third is mostly padding
    batches = list(data.evaluate(split, batch_size))
    assert len(batches) == 3
    assert all(len(x) == batch_size for batch in batches for x in batch.values())
    where = np.concatenate([batch["where"] for batch in batches])
    np.testing.assert_array_equal(
        where, np.arange(3 * batch_size) < data.num_examples[split]
    )
    for batch, again in zip(batches, data.evaluate(split, batch_size)):
        assert_equal(batch, again)


@pytest.mark.parametrize(
    "make", sorted(DATASETS.keys() - {"graph", "missing", "streams"}), indirect=True
)
def test_prepared_batches_are_images_in_range(make):
    data = make()
    batch = next(data.evaluate("test", 4))
    prepared = jax.jit(data.prepare)(batch)
    names = data.modalities or ("image",)
    assert {*names, "label", "where"} <= set(prepared) <= {*names, *COMMON}
    assert prepared["label"].dtype == np.int32
    for name in names:
        assert prepared[name].dtype == np.float32
        assert prepared[name].ndim == (3 if name == "text" else 4)
        if make is not DATASETS["blobs"]:
            assert prepared[name].min() >= 0 and prepared[name].max() <= 1
    assert_equal(
        {k: prepared[k] for k in ("label", "where")},
        {k: batch[k] for k in ("label", "where")},
    )


def test_prepare_keeps_which_modalities_are_present():
    data = DATASETS["polymnist"]()
    present = np.array([[True, False]] * 4)
    batch = {**next(data.train(4)), "present": present}
    np.testing.assert_array_equal(data.prepare(batch)["present"], present)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda d: d.train(0), ValueError, "batch_size >= 1; got 0"),
        (lambda d: d.train(2.0), TypeError, "batch_size a whole number; got 2.0"),
        (lambda d: d.train(4, start_step=-1), ValueError, "start_step >= 0; got -1"),
        (lambda d: d.evaluate("test", -1), ValueError, "batch_size >= 1; got -1"),
        (lambda d: d.evaluate("valid", 4), ValueError, "'train', 'test'.*'valid'"),
    ],
)
def test_wrong_calls_fail_before_the_first_batch(make, call, error, message):
    with pytest.raises(error, match=message):
        call(make())


@pytest.mark.parametrize(
    "seed, error",
    [
        (1.0, TypeError),
        ("0", TypeError),
        (True, TypeError),
        (-1, ValueError),
        (2**32, ValueError),
    ],
)
def test_wrong_seeds_are_refused(make, seed, error):
    with pytest.raises(error, match="seed"):
        make(seed=seed)


def test_the_largest_seed_works_on_host_and_device():
    data = polymnist.composed(modalities=("m1",), seed=2**32 - 1)
    assert data.prepare(next(data.train(2)))["m1"].shape == (2, 28, 28, 3)


def test_a_batch_that_processes_cannot_share_is_refused(make, processes):
    processes(0, 3)
    with pytest.raises(ValueError, match="batch_size divisible by the 3 processes"):
        make().train(8)
    with pytest.raises(ValueError, match="divisible by the 3 processes; got 8"):
        dataset.this_process(np.arange(8))


def test_prefetch_yields_in_order_raises_what_its_iterator_raises_and_ends():
    def numbers():
        yield from range(5)
        raise RuntimeError("five")

    seen, before = [], threading.active_count()
    with pytest.raises(RuntimeError, match="five"):
        for number in dataset.prefetch(numbers()):
            seen.append(number)
    assert seen == [0, 1, 2, 3, 4]
    early = dataset.prefetch(iter(range(100)))
    assert next(early) == 0
    early.close()
    assert threading.active_count() == before


def test_prefetch_tells_of_a_source_that_hangs_and_ends_in_time(monkeypatch, caplog):
    monkeypatch.setattr(dataset, "LONG_WAIT", 0.1)
    release = threading.Event()

    def hangs():
        yield 0
        release.wait(60)

    batches = dataset.prefetch(hangs(), patience=3.0)
    assert next(batches) == 0
    here = rf"process 0 \(pid {os.getpid()} on {platform.node()}\)"
    with pytest.raises(TimeoutError, match=f"{here}: expected a batch within 3 s"):
        next(batches)
    release.set()
    assert re.search(f"{here} has waited [012] s for a batch", caplog.text)
    assert 1 <= caplog.text.count("has waited") <= 5  # after 0.1, 0.2, 0.4, ... s


def test_prefetch_does_not_wait_for_a_slow_batch_once_it_should_stop():
    asked, arrives = threading.Event(), threading.Event()

    def slow():
        yield 0
        asked.set()
        arrives.wait(60)
        yield 1

    begun, before = time.monotonic(), set(threading.enumerate())
    assert list(dataset.prefetch(slow(), should_stop=asked.is_set)) == [0]
    assert time.monotonic() < begun + 30  # two seconds on a quiet machine
    arrives.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()


def test_a_dataset_that_ends_is_an_error_that_says_when():
    batches = ({"x": np.array(step)} for step in range(5))
    message = (
        "expected train to yield batches without end; from step 2 it ended after 5"
    )
    with pytest.raises(ValueError, match=message):
        list(dataset.stacked(batches, start_step=2, num_steps=12, size=4))


def test_groups_end_at_multiples_of_their_size():
    steps = ({"step": np.array(step)} for step in range(3, 10))
    groups = dataset.stacked(steps, start_step=3, num_steps=9, size=4)
    assert [list(group["step"]) for group in groups] == [[3], [4, 5, 6, 7], [8]]
