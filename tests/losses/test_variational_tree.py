"""The bound of a latent tree against float64 loops, by hand, and its properties."""

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import gaussian, likelihood
from repr_jax.trees import growing

# 0 -> (1, 2), 1 -> (3, 5), 2 -> (4,); 6 is free
PARENTS = np.array([-1, 0, 0, 1, 2, 1, -2], np.int32)
LEAVES = np.array([3, -1, 5, 4], np.int32)  # the second decoder is not used
WHERE = np.array([True, False, True, True])
ABSENT = (slice(None), [6])


def draw():
    """Four rows, five pixels, two dimensions."""
    rng = np.random.default_rng(0)
    shapes = {"decoded": (4, 5), "logits": (7,), "prior_logits": (7,)}
    latent = ("mean", "log_var", "prior_mean", "prior_log_var")
    shapes |= dict.fromkeys(latent, (7, 2))
    arrays = {k: rng.normal(size=(4, *s)).astype("f") for k, s in shapes.items()}
    arrays["x"] = rng.random((4, 5)).astype("f")
    for name, x in arrays.items():  # what is not read
        if name.startswith("prior_") and x.ndim == 3:
            x[:, 0] = np.nan
        if name not in ("x", "decoded"):
            x[ABSENT] = np.nan
    arrays["decoded"][:, 1] = np.nan
    return arrays


jitted = jax.jit(losses.tree_elbo)


def sigmoid(a):
    return 1 / (1 + np.exp(-float(a)))


def bound_from_the_paper(arrays, *, beta, where):
    """Down the tree from the root, node by node, for each example by itself."""
    losses_of_rows = []
    for r in np.flatnonzero(where):
        a = {name: x[r].astype(float) for name, x in arrays.items()}
        total, to_visit = 0.0, [(0, 1.0)]
        while to_visit:
            node, p = to_visit.pop()
            mean, var = a["mean"][node], np.exp(a["log_var"][node])
            prior, prior_var = np.zeros(2), np.ones(2)
            if node > 0:
                prior, prior_var = a["prior_mean"][node], a["prior_log_var"][node]
                prior_var = np.exp(prior_var)
            for m, v, pm, pv in zip(mean, var, prior, prior_var):
                total += (
                    beta * p * 0.5 * (v / pv + (m - pm) ** 2 / pv - 1 + np.log(pv / v))
                )
            children = [n for n in range(7) if PARENTS[n] == node]
            if len(children) == 2:
                q, t = sigmoid(a["logits"][node]), sigmoid(a["prior_logits"][node])
                kl = q * np.log(q / t) + (1 - q) * np.log((1 - q) / (1 - t))
                total += beta * p * kl
                to_visit += [(children[0], p * q), (children[1], p * (1 - q))]
            elif children:
                to_visit += [(children[0], p)]
            else:
                decoded = a["decoded"][list(LEAVES).index(node)]
                for pixel, logit in zip(a["x"], decoded):
                    on = sigmoid(logit)
                    log_p = pixel * np.log(on) + (1 - pixel) * np.log(1 - on)
                    total -= p * log_p
        losses_of_rows.append(total)
    return np.mean(losses_of_rows)


@pytest.mark.parametrize("beta", [1.0, 0.2])
@pytest.mark.parametrize("where", [np.ones(4, bool), WHERE])
def test_tree_elbo_matches_the_paper(beta, where):
    arrays = draw()
    options = dict(parents=PARENTS, leaves=LEAVES, where=where)
    expected = bound_from_the_paper(arrays, beta=beta, where=where)
    value, gradient = jax.jit(
        jax.value_and_grad(lambda a: losses.tree_elbo(**a, **options, beta=beta))
    )(arrays)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    for name in ("mean", "log_var", "prior_mean", "logits", "prior_logits"):
        assert (np.asarray(gradient[name])[ABSENT] == 0).all()
    assert (np.asarray(gradient["decoded"])[:, 1] == 0).all()


def of_two_leaves(**change):
    """A root above two leaves; one pixel, one latent; q is p but for the changes."""
    zeros = np.zeros((1, 3, 1), "f")
    arrays = dict(x=np.ones((1, 1), "f"), decoded=np.zeros((1, 2, 1), "f"))
    arrays |= dict(mean=zeros, log_var=zeros, prior_mean=zeros, prior_log_var=zeros)
    arrays |= dict(logits=zeros[..., 0], prior_logits=zeros[..., 0])
    tree = dict(parents=np.array([-1, 0, 0], np.int32), leaves=np.array([1, 2]))
    return jitted(**{**arrays, **tree, **change})


def test_by_hand():
    np.testing.assert_allclose(of_two_leaves(), np.log(2), rtol=1e-6)
    # 3/4 of the way to leaf 1, which knows the pixel, to odds of 3
    decoded = np.log(np.array([[[3.0], [1.0]]]))
    logits = np.log(np.array([[3.0, 1.0, 1.0]]))
    reconstruction = 0.75 * np.log(4 / 3) + 0.25 * np.log(2)
    router = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)
    value = of_two_leaves(decoded=decoded, logits=logits)
    np.testing.assert_allclose(value, reconstruction + router, rtol=1e-6)
    # a mean of 2 costs 2 nats at the root, and half of that at a leaf
    mean = np.array([[[2.0], [0.0], [0.0]]])
    np.testing.assert_allclose(of_two_leaves(mean=mean), np.log(2) + 2, rtol=1e-6)
    mean = np.array([[[0.0], [2.0], [0.0]]])
    np.testing.assert_allclose(of_two_leaves(mean=mean), np.log(2) + 1, rtol=1e-6)


def test_is_a_bound_that_the_exact_posterior_attains():
    """Latents say nothing; the exact routing is Bayes' rule over the two leaves."""
    decoded = np.array([[[1.5], [-0.5]]])
    prior_logits = np.array([[0.7, 0.0, 0.0]])
    on = 1 / (1 + np.exp(-decoded[0, :, 0]))
    share = 1 / (1 + np.exp([-0.7, 0.7]))
    exact = -np.log(np.sum(share * on))
    given = np.log(share[0] * on[0]) - np.log(share[1] * on[1])
    options = dict(decoded=decoded, prior_logits=prior_logits)
    logits = np.array([[given, 0.0, 0.0]])
    np.testing.assert_allclose(
        of_two_leaves(**options, logits=logits), exact, rtol=1e-5
    )
    for wrong in (given - 1, given + 1):
        logits = np.array([[wrong, 0.0, 0.0]])
        assert of_two_leaves(**options, logits=logits) > exact + 1e-3


def test_leaves_share_each_row_and_nodes_their_children():
    logits = draw()["logits"]
    passed = jax.jit(growing.path_probabilities)(np.nan_to_num(logits), PARENTS)
    passed = np.asarray(passed)
    np.testing.assert_allclose(passed[:, 0], 1)
    np.testing.assert_allclose(passed[:, 1] + passed[:, 2], 1, rtol=1e-6)
    np.testing.assert_allclose(passed[:, 3] + passed[:, 5], passed[:, 1], rtol=1e-6)
    np.testing.assert_allclose(passed[:, 4], passed[:, 2])
    assert (passed[:, 6] == 0).all()
    to_first = np.prod(1 / (1 + np.exp(-logits[:, :2])), axis=1)
    np.testing.assert_allclose(passed[:, 3], to_first, rtol=1e-5)


def test_a_chain_is_the_bound_of_a_ladder():
    """Without a choice: elbo of one decoder plus the divergences on the way."""
    arrays = draw()
    decoded, x = arrays.pop("decoded")[:, :1], arrays.pop("x")
    arrays = {name: np.nan_to_num(a[:, :2]) for name, a in arrays.items()}
    tree = dict(parents=np.array([-1, 0], np.int32), leaves=np.array([1]))
    value = jitted(x, decoded, **arrays, **tree)
    divergence = jax.jit(gaussian.kl)
    root = divergence(arrays["mean"][:, 0], arrays["log_var"][:, 0])
    names = ("mean", "log_var", "prior_mean", "prior_log_var")
    below = divergence(*(arrays[name][:, 1] for name in names))
    log_p = jax.jit(likelihood.bernoulli)(x, decoded[:, 0])
    expected = np.mean(root) + np.mean(below) - np.mean(log_p)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(mean=np.zeros((4, 7, 3), "f")), "expected one shape of rank 3"),
        (dict(logits=np.zeros((4, 6), "f")), r"expected logits of shape \(4, 7\)"),
        (dict(parents=PARENTS[:6]), r"expected parents of shape \(7,\)"),
        (dict(leaves=LEAVES[:3]), r"expected leaves of shape \(4,\); got \(3,\)"),
        (dict(decoded=np.zeros((4, 4, 6), "f")), r"decoded of shape \(4, 4, 5\)"),
        (dict(x=np.zeros((3, 5), "f")), "expected x with 4 rows"),
        (dict(beta=-1.0), "expected beta >= 0"),
        (dict(where=np.ones(3, bool)), r"expected where of shape \(4,\)"),
    ],
)
def test_errors(change, message):
    arguments = dict(**draw(), parents=PARENTS, leaves=LEAVES)
    with pytest.raises(ValueError, match=message):
        losses.tree_elbo(**{**arguments, **change})
