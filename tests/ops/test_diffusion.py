"""Samplers of diffusion models with exact networks, against the laws they should have.

SMALL is a Gaussian of two pixels whose mean is measured as 0.8: the exact posterior has
the mean (1.3, 0.3) and the variance 0.4 along the difference of pixels. What DDRM gives
there, with an exact network and 20 steps, was found apart from this code.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import ddrm, diffusion, langevin, measurement, mixture_posterior

SMALL = mixture_posterior.make([1.0], [[0.5, -0.5]], [[[1, 0.6], [0.6, 1]]])
UNIT = mixture_posterior.make([1.0], [[0.0]], [[[1.0]]])
ALPHA_BARS = diffusion.linear_alpha_bars()
HALVES = np.array([[0.5, 0.5]])
ROWS = 20_000


def network(law, x, time):
    return mixture_posterior.predict_noise(law, x, jnp.asarray(ALPHA_BARS)[time])


def keys_of(rows=ROWS):
    return jax.random.split(jax.random.key(0), rows)


@functools.cache
def restored(law, matrix, value, **options):
    """[ROWS, dim] draws of DDRM given one measurement."""
    laws = {"small": SMALL, "unit": UNIT}
    operator = measurement.dense(np.array(matrix))
    y = np.full((ROWS, 1), value, "f")

    @jax.jit
    def draw(keys, y):
        predict = functools.partial(network, laws[law])
        return ddrm.sample(keys, predict, operator, y, alpha_bars=ALPHA_BARS, **options)

    return np.asarray(draw(keys_of(), y))


def test_the_schedule_is_the_published_one():
    betas = np.linspace(1e-4, 0.02, 1000)
    assert ALPHA_BARS[0] == pytest.approx(1 - 1e-4)
    assert ALPHA_BARS[500] == pytest.approx(np.prod(1 - betas[:501]))
    assert ALPHA_BARS[-1] == pytest.approx(4.0358e-5, rel=1e-3)
    np.testing.assert_array_equal(diffusion.spaced_times(10, 3), [0, 3, 6])
    with pytest.raises(ValueError, match="spaced_times"):
        diffusion.spaced_times(3, 4)
    with pytest.raises(ValueError, match="expected end in"):
        diffusion.linear_alpha_bars(end=1.0)


def test_noise_is_added_by_row():
    x, noise = np.random.default_rng(0).normal(size=(2, 3, 2, 2, 1)).astype("f")
    a = np.array([0.0, 0.5, 1.0], "f")
    found = np.asarray(diffusion.add_noise(x, noise, a))
    wide = a[:, None, None, None]
    np.testing.assert_allclose(found, wide**0.5 * x + (1 - wide) ** 0.5 * noise)
    np.testing.assert_array_equal(found[0], noise[0])
    np.testing.assert_array_equal(found[2], x[2])


def variances_after(num_steps, eta):
    """Of SMALL along (1, 1) and (1, -1): the sampler is linear in x, step by step."""
    found, prior = np.ones(2), np.array([1.6, 0.4])
    times = diffusion.spaced_times(1000, num_steps)[::-1]
    for a, b in zip(ALPHA_BARS[times], [*ALPHA_BARS[times][1:], 1.0]):
        spread = eta * ((1 - b) / (1 - a) * (1 - a / b)) ** 0.5
        guess = (1 - a) ** 0.5 / (a * prior + 1 - a)  # predicted noise over x - mean
        clean = (1 - (1 - a) ** 0.5 * guess) / a**0.5
        factor = b**0.5 * clean + (1 - b - spread**2) ** 0.5 * guess
        found = factor**2 * found + spread**2
    return found


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_samples_have_the_law_of_an_exact_network(eta):
    draw = jax.jit(
        lambda keys: diffusion.sample(
            keys,
            functools.partial(network, SMALL),
            (2,),
            alpha_bars=ALPHA_BARS,
            num_steps=100,
            eta=eta,
        )
    )
    x = np.asarray(draw(keys_of()))
    np.testing.assert_allclose(x.mean(axis=0), [0.5, -0.5], atol=0.03)
    sides = np.array([[1, 1], [1, -1]]) / 2**0.5
    expected = variances_after(100, eta)
    error = (2 / ROWS) ** 0.5  # standard, of a variance relative to it
    np.testing.assert_allclose(np.var(x @ sides, axis=0), expected, rtol=4 * error)
    np.testing.assert_allclose(draw(keys_of()[5:7]), x[5:7], rtol=1e-4, atol=1e-5)


def test_more_steps_come_nearer_to_the_law():
    for eta in (0.0, 1.0):
        np.testing.assert_allclose(variances_after(1000, eta), [1.6, 0.4], rtol=0.02)


def inpainted(keys, x, known, **options):
    draw = jax.jit(
        functools.partial(
            diffusion.inpaint,
            predict_noise=functools.partial(network, SMALL),
            alpha_bars=ALPHA_BARS,
            **{"num_steps": 20, **options},
        )
    )
    return np.asarray(draw(keys, x=x, known=known))


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
def test_inpainting_of_loops(eta):
    """Of SMALL, whose network is linear in x, and the noise that the function draws."""
    x, known = np.array([[1.2, np.nan]], "f"), np.array([[True, False]])
    found = inpainted(keys_of(1), x, known, eta=eta)
    covariance, mean = np.array([[1, 0.6], [0.6, 1]]), np.array([0.5, -0.5])
    (of_known,), keys = diffusion.split(keys_of(1))
    (start,), (of_step,) = diffusion.split(keys)
    now = np.asarray(jax.random.normal(start, (2,)), float)
    times = diffusion.spaced_times(1000, 20)[::-1]
    for number, time in enumerate(times):
        a = ALPHA_BARS[time]
        b = ALPHA_BARS[times[number + 1]] if number < 19 else 1.0
        noise = jax.random.normal(jax.random.fold_in(of_known, number), (2,))
        now[0] = a**0.5 * 1.2 + (1 - a) ** 0.5 * float(noise[0])
        whole = a * covariance + (1 - a) * np.eye(2)
        guess = (1 - a) ** 0.5 * np.linalg.solve(whole, now - a**0.5 * mean)
        clean = (now - (1 - a) ** 0.5 * guess) / a**0.5
        spread = eta * ((1 - b) / (1 - a) * (1 - a / b)) ** 0.5
        fresh = jax.random.normal(jax.random.fold_in(of_step, number), (2,))
        now = b**0.5 * clean + max(1 - b - spread**2, 0) ** 0.5 * guess
        now = now + spread * np.asarray(fresh, float)
    np.testing.assert_allclose(found[0], [1.2, now[1]], rtol=1e-3)


def test_inpainted_pixels_follow_the_known_one_but_not_all_the_way():
    """From the mean -0.5 to -1.7 and 0.7, those of the conditional law."""
    rows = 8000
    x = np.repeat([[-1.5, 0.0], [2.5, 0.0]], rows // 2, axis=0).astype("f")
    known = np.tile([True, False], (rows, 1))
    found = inpainted(keys_of(rows), x, known, num_steps=200)
    np.testing.assert_array_equal(found[:, 0], x[:, 0])
    lower, upper = found[:, 1].reshape(2, -1).mean(axis=1)
    assert -1.7 < lower < -1.1 and 0.1 < upper < 0.7


def test_what_is_known_stays_and_without_it_a_sample_is_drawn():
    x = np.random.default_rng(0).normal(size=(3, 2)).astype("f")
    same = inpainted(keys_of(3), x, np.ones((3, 2), bool))
    np.testing.assert_array_equal(same, x)
    free = inpainted(keys_of(3), x, np.zeros((3, 2), bool))
    draw = functools.partial(
        diffusion.sample,
        predict_noise=functools.partial(network, SMALL),
        shape=(2,),
        alpha_bars=ALPHA_BARS,
        num_steps=20,
        eta=1.0,
    )
    expected = jax.jit(draw)(diffusion.split(keys_of(3))[1])
    np.testing.assert_allclose(free, expected, rtol=1e-5)


def test_masks_that_do_not_fit_are_refused():
    x, options = jnp.zeros((3, 2)), dict(alpha_bars=ALPHA_BARS, num_steps=2)
    with pytest.raises(TypeError, match=r"diffusion\.inpaint: expected known bool"):
        diffusion.inpaint(keys_of(3), None, x, jnp.zeros((3, 2)), **options)
    with pytest.raises(ValueError, match=r"expected known of shape \(3, 2\)"):
        diffusion.inpaint(keys_of(3), None, x, jnp.zeros((3, 1), bool), **options)
    with pytest.raises(ValueError, match="expected x with 2 rows"):
        diffusion.inpaint(keys_of(2), None, x, jnp.zeros((3, 2), bool), **options)


def test_ddrm_of_a_measurement_without_noise():
    """The mean is exact, and the spread too small, along what is not measured."""
    x = restored("small", ((0.5, 0.5),), 0.8)
    np.testing.assert_allclose(x.mean(axis=0), [1.3, 0.3], atol=0.012)
    seen = x @ HALVES[0]
    assert np.mean(seen) == pytest.approx(0.8, abs=1e-3)
    assert np.var(seen) == pytest.approx(5e-5, rel=0.1)
    assert np.var(x @ [0.5**0.5, -(0.5**0.5)]) == pytest.approx(0.2407, abs=0.01)
    operator = measurement.dense(HALVES)
    y = np.full((ROWS, 1), 0.8, "f")
    moved = jax.jit(functools.partial(measurement.consistent, operator))(x, y)
    np.testing.assert_allclose(jax.jit(operator.forward)(moved), y, atol=1e-6)


def test_ddrm_of_a_noisy_measurement():
    x = restored("small", ((0.5, 0.5),), 0.8, noise=0.3)
    np.testing.assert_allclose(x.mean(axis=0), [1.196, 0.196], atol=0.012)
    assert np.var(x @ HALVES[0]) == pytest.approx(0.0369, abs=0.003)


@pytest.mark.parametrize(
    ("eta", "mean", "variance"),
    [(0.85, 0.7915, 0.0649), (1.0, 0.6825, 0.1275), (0.0, 0.8686, 0.0004)],
)
def test_ddrm_of_one_noisy_number(eta, mean, variance):
    """The exact posterior has the mean 0.8 and the variance 0.2."""
    x = restored("unit", ((1.0,),), 1.0, noise=0.5, eta=eta)
    assert np.mean(x) == pytest.approx(mean, abs=0.01)
    assert np.var(x) == pytest.approx(variance, abs=0.004)


def test_ddrm_follows_the_equations():
    """In loops over coordinates, with the same noise, and eta_b other than 1."""
    operator = measurement.dense(np.diag([2.0, 0.05, 0.0])[:2])
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 3)).astype("f") * 0.3
    y = rng.normal(size=(1, 2)).astype("f")
    alpha_bars, noise, eta, eta_b = np.linspace(0.98, 0.1, 8), 0.1, 0.7, 0.6

    @jax.jit
    def draws(keys):
        """What DDRM finds, and the noise of its start and its steps."""
        found = ddrm.sample(
            keys,
            lambda x, time: jnp.tanh(x @ weights),
            operator,
            y,
            alpha_bars=alpha_bars,
            noise=noise,
            num_steps=4,
            eta=eta,
            eta_b=eta_b,
        )
        (start,), (of_step,) = diffusion.split(keys)
        step_keys = [jax.random.fold_in(of_step, number) for number in range(4)]
        return found, [jax.random.normal(key, (3,)) for key in (start, *step_keys)]

    found, (fresh, *later) = jax.tree.map(np.asarray, draws(keys_of(1)))
    eye = np.eye(3, dtype="f")
    v = np.asarray(operator.to_spectrum(eye)).T  # V', coordinates in rows
    known, s = np.asarray(operator.observed(y))[0], operator.singular
    times = [6, 4, 2, 0]
    sigmas = [((1 - a) / a) ** 0.5 for a in alpha_bars[times]] + [0.0]
    now = np.zeros(3)
    for i in range(3):
        if s[i] * sigmas[0] > noise:
            deviation = (sigmas[0] ** 2 - (noise / s[i]) ** 2) ** 0.5
            now[i] = known[i] + deviation * fresh[i]
        else:
            now[i] = sigmas[0] * fresh[i]
    for number, time in enumerate(times):
        x = alpha_bars[time] ** 0.5 * v.T @ now
        e = v @ np.tanh(x @ weights)
        clean, sigma = now - sigmas[number] * e, sigmas[number + 1]
        fresh = later[number]
        free = (1 - eta**2) ** 0.5 * sigma
        for i in range(3):
            if s[i] == 0:
                now[i] = clean[i] + free * e[i] + eta * sigma * fresh[i]
            elif s[i] * sigma > noise:
                deviation = (sigma**2 - (eta_b * noise / s[i]) ** 2) ** 0.5
                mean = (1 - eta_b) * clean[i] + eta_b * known[i]
                now[i] = mean + deviation * fresh[i]
            elif sigma > 0:
                pull = free * s[i] * (known[i] - clean[i]) / noise
                now[i] = clean[i] + pull + eta * sigma * fresh[i]
            else:
                now[i] = clean[i]
    np.testing.assert_allclose(found[0], v.T @ now, rtol=1e-4, atol=1e-5)


def langevin_of(rows, **options):
    levels = langevin.geometric_levels(largest=5, smallest=0.05, num_levels=100)

    def score(x, sigma):
        return mixture_posterior.score(SMALL, x, sigma**2)

    draw = jax.jit(
        lambda keys, start: langevin.sample(
            keys, score, start, levels=levels, num_inner=5, step_size=1e-3, **options
        )
    )
    return jax.tree.map(np.asarray, draw(keys_of(rows), np.zeros((rows, 2), "f")))


def test_langevin_dynamics_samples_the_posterior():
    rows = 8000
    operator, y = measurement.dense(HALVES), np.full((rows, 1), 0.8, "f")
    found = langevin_of(rows, operator=operator, y=y, noise=0.3)
    posterior = mixture_posterior.condition(SMALL, HALVES, noise=0.3)
    (mean,) = np.asarray(jax.jit(mixture_posterior.mean)(posterior, y[:1]))
    np.testing.assert_allclose(found.x.mean(axis=0), mean, atol=0.025)
    root = np.asarray(posterior.roots)[0]
    np.testing.assert_allclose(np.cov(found.x.T), root @ root.T, atol=0.025)
    residual = found.residual.mean(axis=1)
    assert residual.shape == (100,) and residual[0] > 3 * residual[-1]


def test_langevin_dynamics_without_a_measurement_samples_the_prior():
    found = langevin_of(8000)
    np.testing.assert_allclose(np.mean(found.x, axis=0), [0.5, -0.5], atol=0.05)
    np.testing.assert_allclose(np.cov(found.x.T), [[1, 0.6], [0.6, 1]], atol=0.06)
    np.testing.assert_array_equal(found.residual, 0)


def test_average_pooling_without_noise_is_pulled_as_published():
    """One step, less its noise: nearest neighbors of y - H x over sigma^2."""
    rng = np.random.default_rng(0)
    start, y = (rng.uniform(size=(2, n, n, 1)).astype("f") for n in (4, 2))
    operator, size, sigma = measurement.average_pool(2), 1e-3, 0.1
    options = dict(levels=[sigma], num_inner=1, step_size=size)

    def draw(given, keys):
        drawn = langevin.sample(keys, lambda x, _: 0 * x, start, **options, **given)
        return drawn.x

    free, pulled = (
        np.asarray(jax.jit(functools.partial(draw, given))(keys_of(2)))
        for given in ({}, {"operator": operator, "y": y})
    )
    away = y - np.asarray(operator.forward(start))
    away = np.repeat(np.repeat(away, 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(pulled - free, size * away / sigma**2, atol=1e-5)


def test_numbers_out_of_range_are_refused():
    keys, y = keys_of(1), jnp.zeros((1, 1))
    operator = measurement.dense(HALVES)
    options = dict(alpha_bars=ALPHA_BARS)
    with pytest.raises(ValueError, match=r"ddrm\.sample: expected eta_b"):
        ddrm.sample(keys, network, operator, y, eta_b=1.5, **options)
    with pytest.raises(ValueError, match="expected noise >= 0"):
        ddrm.sample(keys, network, operator, y, noise=-1.0, **options)
    with pytest.raises(ValueError, match="expected levels > 0 that fall"):
        langevin.sample(
            keys, network, y, levels=[1.0, 2.0], num_inner=1, step_size=1e-3
        )
    with pytest.raises(ValueError, match="operator and y, or neither"):
        langevin.sample(
            keys, network, y, levels=[1.0], num_inner=1, step_size=1e-3, y=y
        )
    with pytest.raises(ValueError, match="geometric_levels"):
        langevin.geometric_levels(largest=1, smallest=2, num_levels=3)


@pytest.mark.parametrize(
    "alpha_bars",
    [[0.9, 0.9], [0.5, 0.6], [1.0, 0.5], [0.5, np.nan], [0.5, 0.0], [[0.5]]],
)
def test_schedules_that_do_not_fall_from_1_to_0_are_refused(alpha_bars):
    with pytest.raises(ValueError, match="steps_of: expected"):
        diffusion.sample(keys_of(1), None, (1,), alpha_bars=alpha_bars, num_steps=1)


@pytest.mark.parametrize("eta", [-0.1, 1.5, np.nan])
def test_a_share_of_noise_out_of_range_is_refused(eta):
    with pytest.raises(
        ValueError, match=r"diffusion\.sample: expected eta in \[0, 1\]"
    ):
        diffusion.sample(
            keys_of(1), None, (1,), alpha_bars=ALPHA_BARS, num_steps=1, eta=eta
        )


def test_levels_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="levels finite; got inf in row 0"):
        langevin.sample(
            keys_of(1),
            None,
            jnp.zeros((1, 1)),
            levels=[np.inf, 1],
            num_inner=1,
            step_size=1.0,
        )
    with pytest.raises(ValueError, match="geometric_levels: expected 0 < smallest"):
        langevin.geometric_levels(largest=np.inf, smallest=1.0, num_levels=3)


def test_cosine_schedule_is_that_of_loops():
    for times in (50, 8):
        f = [
            math.cos(math.pi / 2 * (t / times + 0.008) / 1.008) ** 2
            for t in range(times + 1)
        ]
        expected, product = [], 1.0
        for t in range(times):
            product *= 1 - min(1 - f[t + 1] / f[t], 0.999)
            expected.append(product)
        found = diffusion.cosine_alpha_bars(num_times=times)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(
        diffusion.cosine_alpha_bars(num_times=50)[20], 0.6174247, rtol=1e-6
    )
    assert found[-1] > 0 and (np.diff(found) < 0).all()
    with pytest.raises(ValueError, match="cosine_alpha_bars: expected offset >= 0"):
        diffusion.cosine_alpha_bars(offset=-0.1)
