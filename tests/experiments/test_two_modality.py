"""Encodings of two modalities: who shares, who takes part, what is learned."""

from functools import partial

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from experiments import two_modality
from repr_jax.models.mlp import MLP
from repr_jax.ops.batch import masked_mean


def distance(a, b, *, where, axis_name=None, temperature=1.0, bias=0.0):
    """A loss that pulls pairs together and scales with what may be learned."""
    squares = jnp.sum((a - b) ** 2, axis=-1)
    return masked_mean(squares, where=where, axis_name=axis_name) / temperature + bias


def negated(key, x, *, at_most=1.0):
    """An augmentation that nobody can miss."""
    return -x * jax.random.uniform(key, minval=0.5, maxval=at_most)


def against_negatives(a, b, negatives_a, negatives_b, *, where, negatives_where):
    assert a.shape == negatives_b.shape and where.shape == negatives_where.shape
    pull = masked_mean(jnp.sum((a - b) ** 2, axis=-1), where=where)
    push = masked_mean(
        jnp.sum((negatives_a - negatives_b) ** 2, axis=-1), where=negatives_where
    )
    return pull - 0.5 * push


def make_config(**changes):
    config = ml_collections.ConfigDict(
        {
            "modalities": ("left", "right"),
            "batch_size": 8,
            "accumulate": 1,
            "encoders": {
                "left": dict(fn=MLP, widths=(8, 3)),
                "right": dict(fn=MLP, widths=(5, 3), batch_norm=True),
            },
            "loss": dict(fn=distance),
        }
    )
    config.unlock()
    for name, value in changes.items():
        config[name] = value
    return config


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    shapes = {"left": (8, 4), "right": (8, 2, 3), "third": (8, 4)}
    return {m: rng.normal(size=s).astype(np.float32) for m, s in shapes.items()}


def started(config, batch, make=two_modality.make):
    """The experiment, compiled, and what it starts with."""
    experiment = make(config)
    params, extras = jax.jit(experiment.init)(jax.random.key(0), batch)
    loss = jax.jit(experiment.loss)
    outputs = {name: jax.jit(f) for name, f in experiment.outputs.items()}
    return experiment._replace(loss=loss, outputs=outputs), params, extras


def test_loss_is_that_of_the_two_encodings(batch):
    config = make_config()
    experiment, params, extras = started(config, batch)
    value, (new, terms) = experiment.loss(params, extras, batch, jax.random.key(1), 0)
    left = jax.jit(partial(MLP((8, 3)).apply, train=True))(
        {"params": params["encoders"]["left"]}, batch["left"]
    )
    apply = MLP((5, 3), batch_norm=True).apply
    right, stats = jax.jit(partial(apply, train=True, mutable=["batch_stats"]))(
        {"params": params["encoders"]["right"], **extras["right"]}, batch["right"]
    )
    expected = np.mean(np.sum((np.asarray(left) - np.asarray(right)) ** 2, axis=1))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(terms["alignment"], expected, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, new["right"], dict(stats))
    assert not new["left"] and jax.tree.structure(new) == jax.tree.structure(extras)


def test_one_modality_is_represented_by_its_own_encoding_and_two_by_their_mean(batch):
    experiment, params, extras = started(make_config(), batch)

    def represent(left, right):
        rows = np.tile([left, right], (8, 1))
        present = {**batch, "present": rows}
        return np.asarray(
            experiment.outputs["represent"](params, extras, present, None)
        )

    left, right = represent(True, False), represent(False, True)
    expected = jax.jit(partial(MLP((8, 3)).apply, train=False))(
        {"params": params["encoders"]["left"]}, batch["left"]
    )
    np.testing.assert_allclose(left, expected, rtol=1e-6)
    np.testing.assert_allclose(represent(True, True), (left + right) / 2, rtol=1e-5)
    assert not np.any(represent(False, False))


def test_absent_modality_is_as_good_as_deleted(batch):
    plain = {m: dict(fn=MLP, widths=(4, 3)) for m in ("left", "right")}
    experiment, params, extras = started(make_config(encoders=plain), batch)
    present = np.ones((8, 2), bool)
    present[2, 0] = present[5, 1] = False
    spoiled = {**batch, "left": batch["left"].copy(), "present": present}
    spoiled["left"][2] = np.nan
    rest = {m: np.delete(batch[m], (2, 5), axis=0) for m in ("left", "right")}

    def of(batch):
        return experiment.loss(params, extras, batch, jax.random.key(0), 0)[0]

    np.testing.assert_allclose(of(spoiled), of(rest), rtol=1e-6)


def test_shared_encoder_has_one_set_of_parameters(batch):
    encoders = {"shared": dict(fn=MLP, widths=(6, 3), batch_norm=True)}
    same = {"left": batch["left"], "right": batch["left"]}
    experiment, params, extras = started(make_config(encoders=encoders), same)
    assert list(params["encoders"]) == ["shared"]
    value, (extras, _) = experiment.loss(params, extras, same, jax.random.key(0), 0)
    assert float(value) == 0.0
    mean = extras["shared"]["batch_stats"]["BatchNorm_0"]["mean"]
    assert np.any(np.asarray(mean) != 0)  # has seen both modalities


def test_loss_of_three_modalities_is_the_mean_over_their_pairs(batch):
    names = ("left", "right", "third")
    encoders = {m: dict(fn=MLP, widths=(3,)) for m in names}
    config = make_config(modalities=names, encoders=encoders)
    experiment, params, extras = started(config, batch)

    def loss(**more):
        loss = experiment.loss(params, extras, batch | more, jax.random.key(0), 0)
        return loss[0], loss[1][1]["alignment"]

    value, expected = loss()
    assert float(value) > 0
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    present = np.ones((8, 3), bool)
    present[:, 2] = False  # nobody has the third: its pairs do not count
    value, _ = loss(present=present)
    pair = make_config(encoders={m: encoders[m] for m in names[:2]})
    expected = jax.jit(two_modality.make(pair).loss)(
        params, extras, batch, jax.random.key(0), 0
    )[0]
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_training_sees_augmented_modalities_and_evaluation_does_not(batch):
    plain = {m: dict(fn=MLP, widths=(4, 3)) for m in ("left", "right")}
    config = make_config(
        encoders=plain, augment={"left": dict(fn=negated, at_most=0.8)}
    )
    experiment, params, extras = started(config, batch)
    unchanged, _, _ = started(make_config(encoders=plain), batch)
    key = jax.random.key(3)
    value, _ = experiment.loss(params, extras, batch, key, 0)
    augment = jax.jit(partial(negated, at_most=0.8))
    left = augment(jax.random.fold_in(key, 0), batch["left"])
    changed = {**batch, "left": left}
    expected, _ = unchanged.loss(params, extras, changed, key, 0)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert abs(value - unchanged.loss(params, extras, batch, key, 0)[0]) > 1e-3
    np.testing.assert_array_equal(
        experiment.outputs["represent"](params, extras, batch, None),
        unchanged.outputs["represent"](params, extras, batch, None),
    )
    with pytest.raises(ValueError, match=r"config.augment: expected modality among"):
        two_modality.make(make_config(augment={"top": dict(fn=negated)}))


def test_learned_temperature_and_bias(batch):
    config = make_config(
        temperature=dict(initial=0.5, lowest=0.01), bias=dict(initial=-3.0)
    )
    experiment, params, extras = started(config, batch)

    def loss(params):
        return experiment.loss(params, extras, batch, jax.random.key(0), 0)

    evaluate = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (_, terms)), grads = evaluate(params)
    terms = jax.tree.map(float, terms)
    np.testing.assert_allclose(terms["temperature"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(value, terms["alignment"] / 0.5 - 3.0, rtol=1e-5)
    np.testing.assert_allclose(  # d/dlog t of alignment / t
        grads["log_temperature"], -terms["alignment"] / 0.5, rtol=1e-5
    )
    assert float(grads["bias"]) == 1.0
    params["log_temperature"] = np.log(np.float32(1e-4))
    (_, (_, terms)), _ = evaluate(params)
    np.testing.assert_allclose(terms["temperature"], 0.01, rtol=1e-6)


def test_fresh_negatives_are_the_second_half(batch):
    plain = {m: dict(fn=MLP, widths=(4, 3)) for m in ("left", "right")}
    config = make_config(encoders=plain, loss=dict(fn=against_negatives))
    experiment, params, extras = started(
        config, batch, two_modality.make_fresh_negatives
    )
    value, _ = experiment.loss(params, extras, batch, jax.random.key(0), 0)
    pairs = make_config(encoders=plain)
    loss = jax.jit(two_modality.make(pairs).loss)

    def of_rows(rows):
        part = {name: x[rows] for name, x in batch.items()}
        return float(loss(params, extras, part, jax.random.key(0), 0)[0])

    expected = of_rows(slice(0, 4)) - 0.5 * of_rows(slice(4, 8))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ("left",)}, "expected two or more"),
        (
            {"encoders": {"left": dict(fn=MLP, widths=(3,))}},
            "or shared alone; got left",
        ),
    ],
)
def test_wrong_configs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        two_modality.make(make_config(**changes))


def test_fresh_negatives_want_an_even_batch_of_two_modalities():
    make = two_modality.make_fresh_negatives
    with pytest.raises(ValueError, match="as many negatives"):
        make(make_config(batch_size=9))
    with pytest.raises(ValueError, match="expected two modalities; got 3"):
        make(make_config(modalities=("left", "right", "third")))


def test_encodings_of_two_sizes_are_refused(batch):
    encoders = {
        "left": dict(fn=MLP, widths=(3,)),
        "right": dict(fn=MLP, widths=(4,)),
    }
    experiment, params, extras = started(make_config(encoders=encoders), batch)
    with pytest.raises(ValueError, match="expected one shape of rank 2"):
        experiment.loss(params, extras, batch, jax.random.key(0), 0)
