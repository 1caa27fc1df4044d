"""Multimodal bounds of a scalar model whose evidence and bounds are known.

z ~ N(0, 1), x_m = z + e_m with e_m ~ N(0, 1), x = (1, 3). The exact posteriors of one
modality are N(.5, .5) and N(1.5, .5), of both N(4/3, 1/3), and log p(x) = -4.720517.
All figures but those of several samples are Gaussian expectations.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import fusion, likelihood, subsets

LOG_P = -4.720517
EXACT_EXPERTS = ((0.5, 0.5), (1.5, 0.5))  # (mean, variance)
FAMILY = ("mmvae", "mmvae_iwae", "mmvae_tight")


def scalar_model(name, key, *, batch=2_000, experts=EXACT_EXPERTS, **options):
    """Minus the loss on `batch` rows of x = (1, 3), experts as (mean, variance)."""
    one = jnp.ones((batch, 1))
    if "joint" in options:
        mean, variance = options["joint"]
        options = options | {"joint": (mean * one, math.log(variance) * one)}
    inputs = tuple(x * one for x in (1.0, 3.0)[: len(experts)])
    mean = jnp.stack([m * one for m, _ in experts])
    log_var = jnp.stack([math.log(v) * one for _, v in experts])
    return -getattr(losses, name)(
        key,
        inputs,
        mean,
        log_var,
        lambda z, w=(): (z,) * len(experts),
        log_likelihood=likelihood.gaussian,
        **options,
    )


def evaluated(name, key, **options):
    return jax.jit(partial(scalar_model, name, **options))(key)


def estimate(name, repeats=20, **options):
    """Mean and standard error over independent keys."""
    function = partial(scalar_model, name, **options)
    keys = jax.random.split(jax.random.key(0), repeats)
    values = jax.jit(lambda keys: jax.lax.map(lambda key: function(key), keys))(keys)
    return np.mean(values), np.std(values, ddof=1) / math.sqrt(repeats)


def assert_estimates(name, expected, tolerance=0.0, **options):
    mean, error = estimate(name, **options)
    assert error < 0.02
    assert abs(mean - expected) < 5 * error + tolerance, (mean, error)


LIKELIHOOD_EXPERTS = ((1.0, 1.0), (3.0, 1.0))
EXACT_JOINT = {"joint": (4 / 3, 1 / 3), "unimodal_weight": 1.0}


@pytest.mark.parametrize(
    "name, expected, options",
    [
        ("moe_elbo", -5.309451, {}),
        ("mopoe", -5.273832, {}),
        ("mopoe", -5.174975, {"prior_expert": "none"}),
        ("mopoe", -5.309451, {"subsets": subsets.singles, "draw": subsets.stratified}),
        ("mopoe", -5.202596, {"subsets": np.ones((1, 2), bool)}),
        ("mopoe", -5.809451, {"subsets": np.array([[True, False]])}),
        ("mopoe", -4.809451, {"subsets": np.array([[False, True]])}),
        ("mvae", -9.751541, {"experts": LIKELIHOOD_EXPERTS}),
        ("mvtcae", -3.648268, {"correlation": 0.5}),
        ("mvtcae", -4.906024, {"correlation": 0.0}),
        ("mmjsd", -4.957958, {}),
        ("jmvae", -4.799952, {"joint": (4 / 3, 1 / 3)}),
        ("jmvae", -4.720517 - 0.730510 - 0.063844, EXACT_JOINT),
        ("crmvae", -1.783057, {"beta": 1.0}),
        ("mmvm", -4.587877, {}),
        ("masked_elbo", LOG_P, {"experts": LIKELIHOOD_EXPERTS}),
    ],
)
def test_bounds_of_the_scalar_model_by_hand(name, expected, options):
    assert_estimates(name, expected, **options)


@pytest.mark.parametrize(
    "observed, expected",
    [((1, 0), -1.515512), ((0, 1), -3.515512), ((1, 1), LOG_P - 1.515512 - 3.515512)],
)
def test_mvae_of_likelihood_experts_is_exact(observed, expected):
    """N(x_m, 1) times the prior is the posterior, whose bound has no slack."""
    where = np.repeat(np.array(observed, bool)[:, None], 2_000, axis=1)
    assert_estimates("mvae", expected, experts=LIKELIHOOD_EXPERTS, where=where)


@pytest.mark.parametrize(
    "num_samples, looser, tight", [(1, -5.107, -4.808), (10, -4.773, -4.727)]
)
def test_mmvae_of_the_scalar_model(num_samples, looser, tight):
    """Figures rounded to 1e-3; one sample of the looser is the bound of the mixture."""
    options = dict(num_samples=num_samples, batch=1_000)
    assert_estimates("mmvae", looser, 1e-3, **options)
    assert_estimates("mmvae_tight", tight, 1e-3, **options)


def test_mmvae_limits_and_order():
    """Looser tends to -4.75484, the mean of two integrals, and tight to log p(x)."""
    options = dict(num_samples=100, batch=200)
    tight, looser = (estimate(n, **options) for n in ("mmvae_tight", "mmvae_iwae"))
    assert abs(looser[0] + 4.756) < 5 * looser[1] + 1e-3
    assert abs(tight[0] + 4.7211) < 5 * tight[1] + 1e-3
    mixture, error = estimate("mmvae_iwae", num_samples=1)
    stratified, other = estimate("moe_elbo")
    assert LOG_P > tight[0] > looser[0] > mixture > stratified
    assert mixture - stratified < math.log(2) + 5 * (error + other)


@pytest.mark.parametrize("name", FAMILY)
def test_one_modality_and_sample_of_mmvae_is_the_elbo(name):
    """E log N(1; z, 1) - KL(N(.5, .5) || N(0, 1)) = log N(1; 0, 2)."""
    options = dict(experts=((0.5, 0.5),), num_samples=1)
    assert_estimates(name, -1.515512, **options)


@pytest.mark.parametrize("name", ["mvae", "mopoe"])
def test_one_modality_of_a_product_has_a_precision_one_higher(name):
    """N(1, 1) becomes N(.5, .5), and the bound exact; without the prior it is not."""
    assert_estimates(name, -1.515512, experts=((1.0, 1.0),))
    if name == "mopoe":
        expected = -0.5 * math.log(2 * math.pi) - 0.5 - 0.5  # E log p, minus the KL
        assert_estimates(name, expected, experts=((1.0, 1.0),), prior_expert="none")


def test_equal_experts_make_the_average_bound_that_of_the_mixture():
    options = dict(experts=((1.0, 0.5), (1.0, 0.5)))
    average, _ = estimate("moe_elbo", **options)
    mixture, error = estimate("mmvae_iwae", num_samples=1, **options)
    assert abs(average - mixture) < 5 * error


def divergence(name, experts, **options):
    """The Jensen-Shannon divergence: the loss without likelihoods."""
    options |= dict(experts=experts, batch=4_000)
    options["likelihood_weights"] = (0.0,) * len(experts)
    return -jax.jit(partial(scalar_model, name, **options))(jax.random.key(1))


@pytest.mark.parametrize(
    "experts, options, expected",
    [
        (((1.0, 1.0), (-1.0, 1.0)), {}, 0.333333),
        (((1.0, 2.0), (3.0, 1.0)), {}, 0.681192),
        (((1.0, 1.0), (1.0, 1.0)), {}, 0.111111),
        (((0.0, 1.0), (0.0, 1.0)), {}, 0.0),
        (((1.0, 1.0),), {}, 0.125),
        (EXACT_EXPERTS, {}, 0.370081),
        (((1.0, 1.0), (1.0, 1.0)), {"prior_weight": 0.0}, 0.0),
        # N(1, 1) with two thirds of the weight: the same as two of them
        (((1.0, 1.0), (5.0, 1.0)), {"expert_weights": (2.0, 0.0)}, 0.111111),
    ],
)
def test_geometric_divergence_by_hand(experts, options, expected):
    actual = divergence("mmjsd", experts, **options)
    np.testing.assert_allclose(actual, expected, atol=2e-6)


WIDE = ((1.0, 2.0), (3.0, 1.0))  # variances second


@pytest.mark.parametrize(
    "name, experts, options, expected",
    [
        ("moe_elbo", WIDE, {}, 2.576713),
        ("mopoe", WIDE, {}, 2.097191),
        ("mopoe", WIDE, {"prior_expert": "none"}, 2.637238),
        # 1/6 of 2.758288 to the prior, 5/12 of .660417 and of .258288 to the experts
        ("mvtcae", WIDE, {"correlation": 5 / 6}, 0.842509),
        ("crmvae", EXACT_EXPERTS, {"beta": 1.0}, 1.511294 / 3),
    ],
)
def test_divergences_of_two_experts_by_hand(name, experts, options, expected):
    value = divergence(name, experts, **options)
    np.testing.assert_allclose(value, expected, atol=2e-6)


def test_two_reconstructions_of_crmvae_weigh_half():
    """7.675754 of both, from the product and from each expert."""
    mean, error = estimate("crmvae", beta=0.0)
    assert abs(mean + 7.675754 / 6) < 5 * error and error < 0.005


@pytest.mark.parametrize(
    "expert, expected", [((0.5, 0.5), -5.018335), ((1.5, 0.5), -4.491340)]
)
def test_what_the_looser_mmvae_tends_to(expert, expected):
    """log E_{q_m} p(x, z) / q(z), by quadrature: their mean is -4.75484."""
    z = np.linspace(-12, 12, 24_001)

    def density(mean, variance):
        distance = (z - mean) ** 2 / (2 * variance)
        return np.exp(-distance) / math.sqrt(2 * math.pi * variance)

    joint = density(0, 1) * density(1, 1) * density(3, 1)
    mixture = sum(density(*one) for one in EXACT_EXPERTS) / 2
    value = np.log(np.sum(density(*expert) * joint / mixture) * (z[1] - z[0]))
    np.testing.assert_allclose(value, expected, atol=2e-6)


def test_mmjsd_can_exceed_the_evidence():
    """Three experts at the exact posterior N(1, 1): JS .09375 < KL .5."""
    experts = ((1.0, 1.0),) * 3
    where = np.ones((3, 1), bool)
    mean = np.ones((3, 1, 1), "f")
    loss = lambda beta: losses.mmjsd(  # noqa: E731
        jax.random.key(0),
        (np.ones((1, 1), "f"),) * len(experts),
        mean,
        0 * mean,
        lambda z: (0 * z,) * 3,
        beta=beta,
        where=where,
    )
    with_kl, without = map(float, map(jax.jit(loss), (1.0, 0.0)))
    np.testing.assert_allclose(with_kl - without, 0.09375, atol=1e-6)


def test_arithmetic_divergence_is_between_0_and_the_entropy():
    far = divergence("mmjsd_arithmetic", ((15.0, 1.0), (-15.0, 1.0)))
    np.testing.assert_allclose(far, math.log(3), rtol=1e-5)
    same = divergence("mmjsd_arithmetic", ((0.0, 1.0), (0.0, 1.0)))
    np.testing.assert_allclose(same, 0, atol=1e-6)
    near = divergence("mmjsd_arithmetic", ((1.0, 1.0), (-1.0, 1.0)))
    geometric = divergence("mmjsd", ((1.0, 1.0), (-1.0, 1.0)))
    assert 0 < near < geometric  # the mixture is the nearest of all to its parts


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_one_modality_of_mvtcae_is_a_share_of_the_elbo(correlation):
    """(1 - a) (log p - KL), at the exact posterior of x = 1."""
    expected = -(1 - correlation) * 1.515512
    options = dict(experts=((0.5, 0.5),), correlation=correlation)
    assert_estimates("mvtcae", expected, **options)


@pytest.mark.parametrize("name", ["moe_elbo", "masked_elbo", "unimodal_elbo", "jmvae"])
def test_one_modality_is_the_elbo(name):
    """masked_elbo multiplies the prior: its expert N(1, 1) has the posterior."""
    expert = (1.0, 1.0) if name == "masked_elbo" else (0.5, 0.5)
    options = {"joint": (0.5, 0.5)} if name == "jmvae" else {}
    assert_estimates(name, -1.515512, experts=(expert,), **options)


POINT = (0.5, math.exp(-30))  # no noise, and the same times the prior
ZERO = ((np.zeros((2, 1), np.float32),),) * 2
ONE = {  # arguments, and how many times the bound of a VAE it is
    "moe_elbo": ({}, 1),
    "mopoe": ({}, 1),
    "mvae": ({}, 1),
    "masked_elbo": ({}, 1),
    "unimodal_elbo": ({}, 1),
    "jmvae": ({"joint": POINT}, 1),
    "fused_elbo": ({"fuse": fusion.barycenter}, 1),
    "fused_elbo of hellinger": ({"fuse": fusion.hellinger}, 1),
    "consensus_elbo": ({"logits": np.zeros(1, np.float32)}, 1),
    "mmvm": ({"standard_weight": 1.0}, 1),
    "mhvae": ({"conditionals": ()}, 1),
    "mvtcae": ({"correlation": 0.3}, 0.7),
    "crmvae": ({"beta": 1.0}, 0.5),
    "dmvae": ({"private": ZERO}, 2),
}


@pytest.mark.parametrize("name", ONE)
def test_one_modality_is_a_vae_exactly(name):
    """Posteriors that are points, so that any key gives the figure."""
    options, times = ONE[name]
    key = jax.random.key(0)
    value = evaluated(name.split()[0], key, batch=2, experts=(POINT,), **options)
    posterior = (np.full((2, 1), number, "f") for number in (0.5, -30))
    options = dict(decode=lambda z: z, log_likelihood=likelihood.gaussian)
    elbo = jax.jit(partial(losses.elbo, **options))
    expected = float(elbo(key, np.ones((2, 1), "f"), *posterior))
    np.testing.assert_allclose(value, -times * expected, rtol=1e-5)


def test_mmvm_of_one_standard_prior_is_unimodal():
    """standard_weight 1 are the unimodal bounds; 0 with equal experts has no KL."""
    options = dict(batch=500, experts=((0.5, 0.5), (1.5, 0.5)))
    key = jax.random.key(0)
    alone = evaluated("unimodal_elbo", key, **options)
    for name in ("mmvm", "mmvm_mixture"):
        value = evaluated(name, key, standard_weight=1.0, **options)
        tolerance = 1e-5 if name == "mmvm" else 0.1  # of one sample
        np.testing.assert_allclose(value, alone, rtol=tolerance)


def test_the_average_of_kls_bounds_the_kl_from_the_mixture():
    """N(1, .5) of {N(1, .5), N(-1, 2)}: .659074 on average, .380796 exactly."""
    experts = ((1.0, 0.5), (-1.0, 2.0))

    @partial(jax.jit, static_argnums=0)
    def first(name, key):
        """beta 1 less beta 0, of the first expert: of both, less of the second."""
        values = [scalar_model(name, key, experts=experts, beta=b) for b in (0.0, 1.0)]
        return values[0] - values[1]

    average = float(first("mmvm", jax.random.key(0)))
    back = 0.5 * (2 / 0.5 - 1 + math.log(0.5 / 2) + 4 / 0.5) / 2  # of the other
    np.testing.assert_allclose(average - back, 0.659074, atol=1e-5)
    mixture = np.mean(
        [first("mmvm_mixture", k) for k in jax.random.split(jax.random.key(0), 5)]
    )
    z = np.linspace(-15, 15, 30_001)
    density = [
        np.exp(-((z - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)
        for m, v in experts
    ]
    h = sum(density) / 2
    exact = [
        np.sum(q * np.log((q + 1e-300) / (h + 1e-300))) * (z[1] - z[0]) for q in density
    ]
    np.testing.assert_allclose(exact[0], 0.380796, atol=1e-5)
    np.testing.assert_allclose(mixture, sum(exact), atol=0.05)


def test_a_dozen_modalities_take_little_memory():
    """A dozen modalities: 4,095 subsets, or those that are asked for."""
    count, rows = 12, 16
    rng = np.random.default_rng(0)
    x = tuple(rng.normal(size=(rows, 1)).astype("f") for _ in range(count))
    mean, log_var = rng.normal(size=(2, count, rows, 3)).astype("f")

    def loss(mean, **options):
        arrays = (jax.random.key(0), x, mean, log_var)
        return losses.mopoe(*arrays, lambda z: (z[:, :1],) * count, **options)

    pairs = np.array([np.isin(np.arange(count), [m, m + 1]) for m in range(count - 1)])
    for options in ({}, {"subsets": pairs}):
        compiled = jax.jit(jax.grad(partial(loss, **options))).lower(mean).compile()
        memory = compiled.memory_analysis()
        assert memory.temp_size_in_bytes < 20e6
        assert np.isfinite(compiled(mean)).all()
