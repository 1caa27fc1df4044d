"""Several datasets in one batch."""

import functools

import jax
import ml_collections
import numpy as np
import pytest

from repr_jax import config
from repr_jax.data import dataset, mnist, streams, synthetic

BLOBS = functools.partial(synthetic.blobs, num_examples=24)
STREAMS = {
    "labeled": functools.partial(BLOBS, seed=3),
    "unlabeled": functools.partial(mnist.digits, seed=4),
}
RATIOS = {"unlabeled": 3}
OF_A = {"ratios": {}, "evaluated": "a"}


def make(**keywords):
    keywords = {"streams": STREAMS, "ratios": RATIOS, **keywords}
    return streams.together(**{"evaluated": "labeled", **keywords})


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_batch_has_a_part_for_each_stream():
    batch = next(make().train(8))
    assert batch["labeled"]["image"].shape == (8, 8, 8, 3)
    assert batch["unlabeled"]["image"].shape == (24, 28, 28, 1)
    for step, batch in zip(range(5), make().train(8)):
        assert_equal(batch["labeled"], next(STREAMS["labeled"]().train(8, step)))
        assert_equal(batch["unlabeled"], next(STREAMS["unlabeled"]().train(24, step)))


def test_parts_are_prepared_by_their_own_streams():
    data = make()
    batch = next(data.train(8))
    prepared = jax.jit(data.prepare)(batch)
    assert_equal(prepared["labeled"], batch["labeled"])
    pixels = batch["unlabeled"]["image"].astype(np.float32) / 255
    np.testing.assert_allclose(prepared["unlabeled"]["image"], pixels, rtol=1e-6)


@pytest.mark.parametrize("evaluated", ["labeled", "unlabeled"])
def test_evaluation_is_of_one_stream_as_if_alone(evaluated):
    data, alone = make(evaluated=evaluated), STREAMS[evaluated]()
    assert data.num_examples == alone.num_examples
    batch = next(data.evaluate("test", 6))
    assert_equal(batch, next(alone.evaluate("test", 6)))
    assert_equal(data.prepare(batch), alone.prepare(batch))


def test_batches_stack_and_are_split_over_devices():
    """What the loop does: groups of steps, and rows over the devices."""
    (group,) = dataset.stacked(make().train(8), 0, 2, 2)
    assert group["labeled"]["label"].shape == (2, 8)
    assert group["unlabeled"]["label"].shape == (2, 24)


def test_fixed_arrays_of_streams_are_beside_them():
    graph = synthetic.graph(num_nodes=20)
    data = streams.together(streams={"seen": graph, "blobs": BLOBS}, evaluated="seen")
    assert set(data.fixed) == {"features", "senders", "receivers"}
    assert data.fixed["features"] is graph.fixed["features"]
    again = streams.together(
        streams={"a": graph, "b": graph}, evaluated="a"
    )  # one graph, two streams
    assert set(again.fixed) == set(graph.fixed)
    with pytest.raises(ValueError, match="features of stream b, which another stream"):
        make(streams={"a": graph, "b": synthetic.graph(num_nodes=24)}, **OF_A)
    with pytest.raises(ValueError, match="got features of stream a"):
        make(streams={"a": graph, "features": BLOBS}, **OF_A)


def test_a_stream_that_ends_ends_the_batches():
    one = BLOBS()
    ends = one._replace(
        train=lambda batch_size, start_step=0: iter([{"x": np.ones(2)}])
    )
    data = streams.together(streams={"a": one, "b": ends}, evaluated="a")
    with pytest.raises(ValueError, match="it ended after 1"):
        list(dataset.stacked(data.train(2), 0, 3, 1))


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"streams": {}}, ValueError, "expected streams by name"),
        ({"ratios": {"other": 2}}, ValueError, "name in ratios among .*'other'"),
        ({"ratios": {"labeled": 0}}, ValueError, r"ratios\.labeled >= 1; got 0"),
        ({"ratios": {"labeled": 0.5}}, TypeError, r"ratios\.labeled a whole number"),
        ({"evaluated": "test"}, ValueError, "evaluated among .*'test'"),
        ({"streams": {"a": 3}, **OF_A}, TypeError, "as stream a; got int"),
        ({"streams": {"a": list}, **OF_A}, TypeError, "as stream a; got list"),
    ],
)
def test_wrong_streams_are_refused(keywords, error, message):
    with pytest.raises(error, match=message):
        make(**keywords)


def test_streams_are_named_in_a_config():
    """Bound, stored as JSON and read back, the same batches."""
    choice = ml_collections.ConfigDict(
        dict(
            fn=streams.together,
            streams=dict(
                labeled=dict(fn=synthetic.blobs, num_examples=24, seed=3),
                unlabeled=dict(fn=mnist.digits, seed=4),
            ),
            ratios=dict(unlabeled=3),
            evaluated="labeled",
        )
    )
    expected = next(make().train(8))
    assert_equal(next(config.bind(choice)().train(8)), expected)
    stored = config.from_json(config.to_json(choice))
    assert_equal(next(config.bind(stored)().train(8)), expected)
