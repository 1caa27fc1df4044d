"""Multimodal bounds against float64 loops with the same noise; absent modalities."""

import itertools
import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import gaussian, laplace, likelihood
from repr_jax.ops.batch import row_keys

KEY = jax.random.key(5)
WHERE = np.array(
    [[1, 1, 0, 0, 1, 1], [1, 0, 1, 0, 1, 1], [1, 1, 0, 0, 0, 1]], bool
)  # [modality, batch]: all, two, one and none
SCALES = (0.7, 1.3, 0.9)  # of the likelihoods
FAMILY = ("mmvae", "mmvae_iwae", "mmvae_tight")


def draw():
    """Three modalities of 1, 2 and 3 features, 6 rows, 2 latents."""
    rng = np.random.default_rng(0)
    inputs = tuple(rng.normal(size=(6, m + 1)).astype("f") for m in range(3))
    mean, log_var = rng.normal(size=(2, 3, 6, 2)).astype("f")
    decoders = tuple(rng.normal(size=(2, m + 1)).astype("f") for m in range(3))
    return inputs, mean, log_var, decoders


LIKELIHOODS = (
    partial(likelihood.gaussian, scale=SCALES[0]),
    partial(likelihood.laplace, scale=SCALES[1]),
    partial(likelihood.gaussian, scale=SCALES[2]),
)


def log_normal(x, mean, variance):
    return -0.5 * (math.log(2 * math.pi * variance) + (x - mean) ** 2 / variance)


def log_laplace(x, mean, variance):
    scale = math.sqrt(variance / 2)
    return -abs(x - mean) / scale - math.log(2 * scale)


DENSITIES = {gaussian: log_normal, laplace: log_laplace}
DRAWS = {gaussian: jax.random.normal, laplace: jax.random.laplace}


def log_likelihood(row, z, weights, targets):
    """Weighted sum over the targets, element by element in float64."""
    inputs, _, _, decoders = draw()
    densities = (log_normal, log_laplace, log_normal)
    variances = (SCALES[0] ** 2, 2 * SCALES[1] ** 2, SCALES[2] ** 2)
    total = 0.0
    for m in targets:
        decoded = np.asarray(z, float) @ decoders[m].astype(float)
        pairs = zip(inputs[m][row].astype(float), decoded)
        total += weights[m] * sum(densities[m](x, d, variances[m]) for x, d in pairs)
    return total


def product(row, members, prior):
    """Mean and variance of the product of experts, in float64."""
    _, mean, log_var, _ = draw()
    precision, weighted = np.full(2, float(prior)), np.zeros(2)
    for m in members:
        one = np.exp(-log_var[m, row].astype(float))
        precision, weighted = precision + one, weighted + one * mean[m, row]
    return weighted / precision, 1 / precision


def kl_to_standard(mean, variance):
    return 0.5 * sum(v - 1 - math.log(v) + m**2 for m, v in zip(mean, variance))


def subsets_of(observed):
    """Non-empty, singles first, all last."""
    sizes = range(1, len(observed) + 1)
    return [s for n in sizes for s in itertools.combinations(observed, n)]


def chosen(uniform, options):
    return options[int(np.floor(float(uniform) * len(options)))]


def normals(key, where, shape=(2,), family=gaussian):
    keys = row_keys(key, where.any(axis=0))
    return [np.asarray(DRAWS[family](k, shape), float) for k in keys]


def uniforms(key, where):
    return [jax.random.uniform(k) for k in row_keys(key, where.any(axis=0))]


def over_rows(term, where):
    """Mean of term(row, observed modalities) over rows that have some."""
    observed = [tuple(np.flatnonzero(where[:, i])) for i in range(where.shape[1])]
    return np.mean([term(i, seen) for i, seen in enumerate(observed) if seen])


def mopoe_in_loops(where, weights, beta, prior_expert):
    subset_key, noise_key = jax.random.split(KEY)
    uniform, noise = uniforms(subset_key, where), normals(noise_key, where)

    def posterior(row, members):
        prior = {"full": len(members) == 3, "all": True, "none": False}[prior_expert]
        return product(row, members, prior)

    def term(row, seen):
        options = subsets_of(seen)
        mean, variance = posterior(row, chosen(uniform[row], options))
        z = mean + np.sqrt(variance) * noise[row]
        kl = np.mean([kl_to_standard(*posterior(row, s)) for s in options])
        return beta * kl - log_likelihood(row, z, weights, seen)

    return over_rows(term, where)


def mvae_in_loops(where, weights, beta, num_subsets):
    subset_key, noise_key = jax.random.split(KEY)
    terms = 4 + num_subsets  # joint, three singles, drawn ones
    noise = [normals(jax.random.fold_in(noise_key, n), where) for n in range(terms)]
    drawn = [jax.random.fold_in(subset_key, n) for n in range(num_subsets)]
    uniform = [uniforms(key, where) for key in drawn]

    def term(row, seen):
        parts = {0: seen} if len(seen) > 1 else {}
        parts |= {1 + m: (m,) for m in seen}
        between = [s for s in subsets_of(seen) if 1 < len(s) < len(seen)]
        if between:
            parts |= {4 + n: chosen(u[row], between) for n, u in enumerate(uniform)}
        total = 0.0
        for n, members in parts.items():
            mean, variance = product(row, members, True)
            z = mean + np.sqrt(variance) * noise[n][row]
            total += beta * kl_to_standard(mean, variance)
            total -= log_likelihood(row, z, weights, members)
        return total

    return over_rows(term, where)


def samples(row, m, eps, family):
    _, mean, log_var, _ = draw()
    deviation = np.exp(log_var[m, row].astype(float) / 2)
    if family is laplace:
        deviation = deviation / math.sqrt(2)
    return mean[m, row] + deviation * eps


def log_density(z, mean, variance, family):
    return sum(DENSITIES[family](*one) for one in zip(z, mean, variance))


def mmvae_in_loops(where, weights, num_samples, family, prior_log_var, tight):
    """Weights of all samples of all experts; one mean inside the log, or two."""
    _, mean, log_var, _ = draw()
    noise = normals(KEY, where, (num_samples, 3, 2), family)

    def log_weight(row, seen, z):
        prior = log_density(z, np.zeros(2), np.exp([prior_log_var] * 2), family)
        experts = [
            log_density(z, mean[r, row].astype(float), np.exp(log_var[r, row]), family)
            for r in seen
        ]
        mixture = np.log(np.mean(np.exp(experts)))
        return log_likelihood(row, z, weights, seen) + prior - mixture

    def term(row, seen):
        weights_by_expert = [
            [
                np.exp(log_weight(row, seen, samples(row, m, noise[row][k, m], family)))
                for k in range(num_samples)
            ]
            for m in seen
        ]
        if tight:
            return -np.log(np.mean(weights_by_expert))
        return -np.mean(np.log(np.mean(weights_by_expert, axis=1)))

    return over_rows(term, where)


def moe_elbo_in_loops(where, weights, beta, family, prior_log_var):
    """KL of two Laplace densities: (b0 exp(-a / b0) + a) / b1 - 1 + log b1 / b0."""
    _, mean, log_var, _ = draw()
    noise = normals(KEY, where, (3, 2), family)
    prior = math.exp(prior_log_var)

    def kl(m, v):
        if family is gaussian:
            return 0.5 * (v / prior - 1 + math.log(prior / v) + m**2 / prior)
        b0, b1 = math.sqrt(v / 2), math.sqrt(prior / 2)
        return (b0 * math.exp(-abs(m) / b0) + abs(m)) / b1 - 1 + math.log(b1 / b0)

    def term(row, seen):
        parts = []
        for m in seen:
            variance = np.exp(log_var[m, row].astype(float))
            divergence = sum(kl(*one) for one in zip(mean[m, row], variance))
            z = samples(row, m, noise[row][m], family)
            parts.append(beta * divergence - log_likelihood(row, z, weights, seen))
        return np.mean(parts)

    return over_rows(term, where)


def evaluated(name, **options):
    """The loss on the drawn arrays."""
    inputs, mean, log_var, decoders = draw()

    def decode(z):
        return tuple(z @ decoder for decoder in decoders)

    call = partial(getattr(losses, name), KEY, log_likelihood=LIKELIHOODS, **options)
    return jax.jit(lambda *arrays: call(*arrays, decode))(inputs, mean, log_var)


WEIGHTS = ((1.0, 1.0, 1.0), (2.0, 0.5, 3.0))
ALL = np.ones_like(WHERE)


@pytest.mark.parametrize(
    "beta, prior_expert, weights, where",
    [
        (1.0, "full", WEIGHTS[0], ALL),
        (1.0, "full", WEIGHTS[1], WHERE),
        (2.5, "all", WEIGHTS[1], WHERE),
        (0.4, "none", WEIGHTS[0], ALL),
    ],
)
def test_mopoe_matches_the_paper(beta, prior_expert, weights, where):
    options = dict(beta=beta, prior_expert=prior_expert, where=where)
    actual = evaluated("mopoe", likelihood_weights=weights, **options)
    expected = mopoe_in_loops(where, weights, beta, prior_expert)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "beta, num_subsets, weights, where",
    [(1.0, 0, WEIGHTS[0], ALL), (1.0, 1, WEIGHTS[0], ALL), (2.5, 2, WEIGHTS[1], WHERE)],
)
def test_mvae_matches_the_paper(beta, num_subsets, weights, where):
    options = dict(beta=beta, num_subsets=num_subsets, where=where)
    actual = evaluated("mvae", likelihood_weights=weights, **options)
    expected = mvae_in_loops(where, weights, beta, num_subsets)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize(
    "num_samples, family, prior_log_var, weights, where",
    [(1, gaussian, 0.5, WEIGHTS[1], WHERE), (3, laplace, -0.5, WEIGHTS[1], WHERE)],
    ids=["gaussian", "laplace"],
)
def test_mmvae_matches_the_paper(
    name, num_samples, family, prior_log_var, weights, where
):
    actual = evaluated(
        name,
        num_samples=num_samples,
        distribution=family,
        prior_log_var=prior_log_var,
        likelihood_weights=weights,
        where=where,
    )
    expected = mmvae_in_loops(
        where, weights, num_samples, family, prior_log_var, name == "mmvae_tight"
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "beta, family, prior_log_var, weights, where",
    [(1.0, gaussian, 0.5, WEIGHTS[0], ALL), (2.5, laplace, -0.5, WEIGHTS[1], WHERE)],
    ids=["gaussian", "laplace"],
)
def test_moe_elbo_matches_the_paper(beta, family, prior_log_var, weights, where):
    actual = evaluated(
        "moe_elbo",
        beta=beta,
        distribution=family,
        prior_log_var=prior_log_var,
        likelihood_weights=weights,
        where=where,
    )
    expected = moe_elbo_in_loops(where, weights, beta, family, prior_log_var)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_dreg_form_of_mmvae_has_another_gradient_of_the_same_value():
    def value_and_gradient(name):
        inputs, mean, log_var, decoders = draw()

        def loss(mean, log_var, decoders):
            return getattr(losses, name)(
                KEY,
                inputs,
                mean,
                log_var,
                lambda z: tuple(z @ decoder for decoder in decoders),
                num_samples=3,
                log_likelihood=LIKELIHOODS,
            )

        both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
        return both(mean, log_var, decoders)

    (value, gradient), (other, plain) = map(value_and_gradient, FAMILY[:2])
    np.testing.assert_allclose(value, other, rtol=1e-6)
    for a, b in zip(gradient[2], plain[2]):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for a, b in zip(gradient[:2], plain[:2]):
        assert abs(a - b).max() > 1e-2


MULTIMODAL = {
    "mvae": {"num_subsets": 1},
    "moe_elbo": {},
    "mmvae": {"num_samples": 2},
    "mmvae_iwae": {"num_samples": 2},
    "mmvae_tight": {"num_samples": 2},
    "mopoe": {},
}


@pytest.mark.parametrize("name", MULTIMODAL)
def test_an_absent_modality_gets_no_gradient_anywhere(name):
    """Neither its encoder nor, as a target, its decoder, even if its arrays are NaN."""
    inputs, mean, log_var, decoders = draw()
    where = np.ones((3, 6), bool)
    where[1] = False
    nan = np.where(where, 0, np.nan).astype("f")
    inputs = tuple(x + nan[m][:, None] for m, x in enumerate(inputs))
    loss = partial(getattr(losses, name), KEY, where=where, **MULTIMODAL[name])

    def total(inputs, mean, log_var, decoders):
        return loss(inputs, mean, log_var, lambda z: tuple(z @ d for d in decoders))

    arrays = (inputs, mean + nan[..., None], log_var + nan[..., None], decoders)
    gradient = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(*arrays)
    for part in gradient:
        assert (part[1] == 0).all()
        for m in (0, 2):
            assert np.isfinite(part[m]).all() and abs(part[m]).max() > 0


@pytest.mark.parametrize("name", MULTIMODAL)
def test_a_mask_of_all_changes_neither_value_nor_gradient(name):
    inputs, mean, log_var, decoders = draw()

    def both(mean, log_var):
        def loss(mean, log_var, where):
            decode = lambda z: tuple(z @ d for d in decoders)  # noqa: E731
            arrays = (KEY, inputs, mean, log_var, decode)
            return getattr(losses, name)(*arrays, where=where, **MULTIMODAL[name])

        value_and_grad = jax.value_and_grad(loss, argnums=(0, 1))
        return value_and_grad(mean, log_var, None), value_and_grad(mean, log_var, ALL)

    plain, masked = jax.jit(both)(mean, log_var)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(masked)):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("prior_expert", ["full", "none"])
def test_mopoe_of_one_observed_modality_is_its_elbo(prior_expert):
    """The subset of all, which alone may have the prior expert, does not exist."""
    inputs, mean, log_var, decoders = draw()
    where = np.zeros((3, 6), bool)
    where[1] = True
    multimodal = evaluated("mopoe", where=where, prior_expert=prior_expert)
    _, noise_key = jax.random.split(KEY)
    elbo = partial(losses.elbo, log_likelihood=LIKELIHOODS[1])
    decode = lambda z: z @ decoders[1]  # noqa: E731
    unimodal = jax.jit(lambda *arrays: elbo(*arrays, decode))(
        noise_key, inputs[1], mean[1], log_var[1]
    )
    np.testing.assert_allclose(multimodal, unimodal, rtol=1e-5)


@pytest.mark.parametrize("name", MULTIMODAL)
def test_errors_name_who_and_what(name):
    inputs, mean, log_var, decoders = draw()
    loss = partial(getattr(losses, name), KEY, **MULTIMODAL[name])

    def call(inputs=inputs, log_var=log_var, outputs=3, **options):
        decode = lambda z: tuple(z @ d for d in decoders[:outputs])  # noqa: E731
        fixed = partial(loss, inputs, mean, log_var, decode, **options)
        return jax.eval_shape(fixed)

    with pytest.raises(ValueError, match=f"{name}: expected one shape of rank 3; got"):
        call(log_var=log_var[0])
    with pytest.raises(
        ValueError, match=f"{name}: expected 3 inputs, one per modality"
    ):
        call(inputs=inputs[:2])
    with pytest.raises(ValueError, match=r"expected inputs\[1\] with 6 rows; got"):
        call(inputs=(inputs[0], inputs[1][:4], inputs[2]))
    with pytest.raises(ValueError, match=r"where of shape \(3, 6\); got \(6, 3\)"):
        call(where=np.ones((6, 3), bool))
    with pytest.raises(TypeError, match=f"{name}: expected where bool; got float32"):
        call(where=np.ones((3, 6), "f"))
    with pytest.raises(ValueError, match=f"{name}: expected 3 log_likelihood, one"):
        call(log_likelihood=LIKELIHOODS[:2])
    with pytest.raises(ValueError, match=f"{name}: expected 3 likelihood_weights, one"):
        call(likelihood_weights=(1.0, 2.0))
    with pytest.raises(ValueError, match=rf"{name}: .*weights\[1\] >= 0; got -1\.0"):
        call(likelihood_weights=(1.0, -1.0, 2.0))
    with pytest.raises(ValueError, match="decode: expected 3 outputs, one per"):
        call(outputs=2)
    if name in FAMILY:
        with pytest.raises(ValueError, match=f"{name}: expected num_samples >= 1"):
            call(num_samples=0)
    else:
        with pytest.raises(ValueError, match=rf"{name}: expected beta >= 0; got -1\.0"):
            call(beta=-1.0)


def test_options_of_one_loss_are_checked():
    with pytest.raises(ValueError, match="expected prior_expert among"):
        evaluated("mopoe", prior_expert="some")
    with pytest.raises(ValueError, match="mvae: expected num_subsets >= 0; got -1"):
        evaluated("mvae", num_subsets=-1)
