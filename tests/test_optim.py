import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from repr_jax import config as configs
from repr_jax import optim


def first_steps(optimizer, gradients):
    """The updates of a scalar parameter, one a gradient."""
    state, updates = optimizer.init(jnp.zeros(())), []
    for gradient in gradients:
        update, state = optimizer.update(jnp.float32(gradient), state)
        updates.append(float(update))
    return np.array(updates)


def test_adam_is_algorithm_1_of_the_paper():
    gradients = [0.5, -2.0, 0.25, 3.0]
    mean = variance = 0.0
    expected = []
    for t, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        variance = 0.999 * variance + 0.001 * gradient**2
        root = np.sqrt(variance / (1 - 0.999**t))
        expected.append(-0.01 * mean / (1 - 0.9**t) / (root + 1e-8))
    actual = first_steps(optim.adam(learning_rate=0.01), gradients)
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_warm_up_rises_from_0_and_the_cosine_ends_at_0():
    constant = [1.0] * 11  # Adam's step is then the learning rate
    rates = -first_steps(optim.adam(learning_rate=0.4, warmup_steps=4), constant)
    np.testing.assert_allclose(rates[:6], [0, 0.1, 0.2, 0.3, 0.4, 0.4], atol=1e-5)
    rates = -first_steps(optim.adam_cosine(peak=1.0, num_steps=10), constant)
    expected = [0.5 * (1 + np.cos(np.pi * step / 10)) for step in range(11)]
    np.testing.assert_allclose(rates, expected, atol=1e-5)
    warm = optim.adam_cosine(peak=1.0, num_steps=10, warmup_steps=2)
    np.testing.assert_allclose(
        -first_steps(warm, constant)[[0, 1, 2, 10]], [0, 0.5, 1, 0], atol=1e-5
    )


def test_clipping_bounds_the_norm_that_adam_sees():
    clipped = optim.adam(learning_rate=0.1, clip_norm=1.0)
    large, small = [100.0, 0.5], [1.0, 0.5]
    np.testing.assert_allclose(
        first_steps(clipped, large), first_steps(clipped, small), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (optim.adam, dict(learning_rate=0.0)),
        (optim.adam, dict(learning_rate=float("nan"))),
        (optim.adam, dict(learning_rate=0.1, clip_norm=0.0)),
        (optim.adam_cosine, dict(peak=-1.0, num_steps=10)),
        (optim.adam_cosine, dict(peak=1.0, num_steps=10, warmup_steps=10)),
        (optim.sgd_cosine, dict(peak=1.0, num_steps=10, weight_decay=-1.0)),
        (optim.lars_cosine, dict(peak=0.0, num_steps=10)),
    ],
)
def test_impossible_numbers_are_refused(make, options):
    with pytest.raises(ValueError, match="expected"):
        make(**options)


def test_momentum_and_the_l2_penalty_by_hand():
    optimizer = optim.sgd_cosine(peak=0.1, num_steps=10**9, weight_decay=0.5)
    weights, velocity = 2.0, 0.0
    params, state = jnp.float32(2.0), optimizer.init(jnp.float32(2.0))
    for gradient in (1.0, -3.0, 0.5):
        velocity = 0.9 * velocity + gradient + 0.5 * weights
        weights -= 0.1 * velocity
        update, state = optimizer.update(jnp.float32(gradient), state, params)
        params += update
        np.testing.assert_allclose(params, weights, rtol=1e-5)


def test_decoupled_decay_is_not_seen_by_the_moments():
    plain = optim.adam(learning_rate=0.1)
    decayed = optim.adam(learning_rate=0.1, weight_decay=0.5)
    params, gradient = jnp.float32(2.0), jnp.float32(1.0)
    without, _ = plain.update(gradient, plain.init(params), params)
    with_decay, _ = decayed.update(gradient, decayed.init(params), params)
    np.testing.assert_allclose(with_decay, without - 0.1 * 0.5 * 2.0, rtol=1e-6)


PARAMS = {
    "encoder": {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.ones(2)},
    "head": {"kernel": jnp.full((2,), 2.0)},
}


def moves(optimizer, params=None, gradient=1.0):
    """The first updates, for gradients that are all alike."""
    params = params or PARAMS
    gradients = jax.tree.map(lambda x: jnp.full_like(x, gradient), params)
    return optimizer.update(gradients, optimizer.init(params), params)[0]


def test_decay_leaves_excluded_parameters_alone():
    """Without a gradient Adam moves by the decay alone."""
    params = {"kernel": jnp.full((2, 2), 4.0), "bias": jnp.full(2, 4.0)}
    for excluded, left in (("bias$", 4.0), ("", 2.0)):
        optimizer = optim.adam_cosine(
            peak=1.0, num_steps=10, weight_decay=0.5, excluded=excluded
        )
        still = jax.tree.map(jnp.zeros_like, params)
        updates, _ = optimizer.update(still, optimizer.init(params), params)
        moved = optax.apply_updates(params, updates)
        np.testing.assert_allclose(moved["kernel"], 2.0)
        np.testing.assert_allclose(moved["bias"], left)


def test_lars_scales_kernels_by_their_norms_and_leaves_biases_alone():
    optimizer = optim.lars_cosine(
        peak=1.0, num_steps=10**9, weight_decay=0.1, trust_coefficient=0.01
    )
    found = moves(optimizer)
    gradient = 1.0 + 0.1 * 3.0
    ratio = 0.01 * np.sqrt(4 * 9.0) / np.sqrt(4 * gradient**2)
    np.testing.assert_allclose(found["encoder"]["kernel"], -ratio * gradient, rtol=1e-5)
    np.testing.assert_allclose(found["encoder"]["bias"], -1.0, rtol=1e-6)
    slower = optim.lars_cosine(
        peak=1.0,
        num_steps=10**9,
        weight_decay=0.1,
        trust_coefficient=0.01,
        excluded_scale=0.25,
    )
    again = moves(slower)
    kernels = (x["encoder"]["kernel"] for x in (again, found))
    np.testing.assert_allclose(*kernels, rtol=1e-6)
    np.testing.assert_allclose(again["encoder"]["bias"], -0.25, rtol=1e-6)


def test_rules_choose_rates_and_freeze_by_path():
    rules = (
        ("^head/", None),
        ("bias$", dict(fn=optim.sgd_cosine, peak=0.5, num_steps=10**9)),
        ("", lambda: optim.sgd_cosine(peak=0.1, num_steps=10**9)),
    )
    found = jax.jit(lambda: moves(optim.by_name(rules)))()
    np.testing.assert_allclose(found["encoder"]["kernel"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(found["encoder"]["bias"], -0.5, rtol=1e-6)
    np.testing.assert_array_equal(found["head"]["kernel"], 0.0)
    stored = configs.from_json(configs.to_json(bindable(rules[:2])))
    assert stored.optimizer.rules[0] == ("^head/", None)
    assert stored.optimizer.rules[1][1]["fn"] is optim.sgd_cosine


def bindable(rules):
    choice = dict(fn=optim.by_name, rules=rules)
    return ml_collections.ConfigDict({"optimizer": choice})


def test_rules_in_a_config_are_bound():
    config = bindable((("", dict(fn=optim.adam, learning_rate=0.25)),))
    optimizer = configs.bind(config.optimizer)()
    np.testing.assert_allclose(moves(optimizer)["head"]["kernel"], -0.25, rtol=1e-5)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((("^encoder/", None),), "expected a rule for 'head/kernel'"),
        ((("", None), ("^decoder/", None)), r"got none for '\^decoder/'"),
    ],
)
def test_rules_that_fit_nothing_and_parameters_without_one_are_refused(rules, message):
    with pytest.raises(ValueError, match=message):
        optim.by_name(rules).init(PARAMS)


def test_a_second_stage_moves_a_part_at_a_rate_that_has_a_name():
    """The rate is a field of the config, in reach of the command line."""
    choice = dict(fn=optim.only, moves="^head/")
    choice["optimizer"] = dict(fn=optim.sgd_cosine, peak=0.1, num_steps=10**9)
    config = ml_collections.ConfigDict({"optimizer": choice})
    config.optimizer.optimizer.peak = 0.5
    found = moves(configs.bind(config.optimizer)())
    np.testing.assert_allclose(found["head"]["kernel"], -0.5, rtol=1e-6)
    for leaf in jax.tree.leaves(found["encoder"]):
        np.testing.assert_array_equal(leaf, 0.0)
    with pytest.raises(ValueError, match=r"got none for '\^tail/'"):
        only = optim.only(moves="^tail/", optimizer=lambda: optax.sgd(1.0))
        only.init(PARAMS)


def test_a_cyclical_schedule_rises_stays_and_starts_again():
    factor = optim.cyclical(period=8, rise=0.5)
    expected = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 0, 0.25]
    found = [float(factor(jnp.int32(step))) for step in range(10)]
    np.testing.assert_allclose(found, expected)
    with pytest.raises(ValueError, match=r"cyclical: expected rise in \(0, 1\]; got 2"):
        optim.cyclical(period=8, rise=2)
