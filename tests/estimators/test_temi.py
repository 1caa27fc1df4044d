"""TEMI's step against float64 and finite differences, and what it finds."""

import math

import jax
import numpy as np
import pytest

from repr_jax import metrics
from repr_jax.estimators import temi

KEY = jax.random.key(0)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def apply(head, x):
    """The head in float64, row by row: GELU, unit length, weight-normalized layer."""
    out = []
    for row in x:
        hidden = row @ head.hidden + head.hidden_bias
        hidden = [a * (1 + math.erf(a / math.sqrt(2))) / 2 for a in hidden]
        unit = np.array(hidden) @ head.bottleneck + head.bottleneck_bias
        unit = unit / np.linalg.norm(unit)
        cosines = unit @ head.directions / np.linalg.norm(head.directions, axis=0)
        out.append(cosines * head.scales)
    return np.array(out)


def objective(online, target, marginal, rows, neighbors, power, temperature):
    """The mean over heads; online, target: lists of heads; a loop for every sum."""
    p = [
        [softmax(apply(h, v) / temperature) for v in (rows, neighbors)] for h in online
    ]
    q = [
        [softmax(apply(h, v) / temperature) for v in (rows, neighbors)] for h in target
    ]
    total = 0.0
    for i in range(len(rows)):
        weight = np.mean([(a[i] * b[i]).sum() for a, b in q])
        for h in range(len(online)):
            for view in range(2):
                both = (p[h][view][i] * q[h][1 - view][i]) ** power
                total -= weight * np.log((both / marginal[h]).sum()) / 2
    return total / len(rows) / len(online)


def float64_heads(stacked):
    heads = len(stacked.scales)
    return [
        temi.Head(*(np.array(a[h], np.float64) for a in stacked)) for h in range(heads)
    ]


def test_a_step_matches_float64():
    """One neighbor for each row and all rows in a batch: nothing is drawn."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 3)).astype(np.float32)
    neighbors = rng.permutation(7)
    start = temi._start(KEY, 2, (3, 6, 5, 4), 1)

    def scatter(a):
        return a + 0.5 * rng.normal(size=a.shape).astype(np.float32)

    start = start._replace(
        params=jax.tree.map(scatter, start.params),
        extras=start.extras._replace(target=jax.tree.map(scatter, start.extras.target)),
    )
    numbers = dict(power=0.7, temperature=0.5, learning_rate=0.01, weight_decay=0.1)
    numbers |= dict(decay=0.8, marginal_decay=0.6)
    after = temi._descend(start, x, neighbors[:, None], KEY, 1, numbers, batch_size=7)
    averages = after.extras

    online, target = (float64_heads(h) for h in (start.params, start.extras.target))
    rows, others = x.astype(np.float64), x[neighbors].astype(np.float64)
    marginal = [
        0.6 / 4 + 0.4 * softmax(apply(h, np.concatenate([rows, others])) / 0.5).mean(0)
        for h in target
    ]
    np.testing.assert_allclose(averages.marginal, marginal, rtol=1e-5)

    def loss():
        return objective(online, target, marginal, rows, others, 0.7, 0.5)

    np.testing.assert_allclose(averages.losses.mean(), loss(), rtol=1e-5)
    np.testing.assert_allclose(after.losses, loss(), rtol=1e-5)
    momentum = after.opt_state[0].mu  # a tenth of the gradient
    for name in temi.Head._fields:
        weights = getattr(online[1], name)
        for place in [(0,) * weights.ndim, (-1,) * weights.ndim]:
            kept, sides = weights[place], []
            for change in (1e-5, -1e-5):
                weights[place] = kept + change
                sides.append(loss())
            weights[place] = kept
            slope = (sides[0] - sides[1]) / 2e-5
            found = getattr(momentum, name)[1][place]
            np.testing.assert_allclose(found, 0.1 * slope, rtol=1e-3, atol=1e-7)
            # AdamW's first step has the length of the learning rate
            moved = kept - 0.01 * slope / (abs(slope) + 1e-8)
            if weights.ndim == 2:
                moved -= 0.01 * 0.1 * kept
            new = getattr(after.params, name)[1][place]
            np.testing.assert_allclose(new, moved, atol=1e-5)
            old = getattr(start.extras.target, name)[1][place]
            average = getattr(averages.target, name)[1][place]
            np.testing.assert_allclose(average, 0.8 * old + 0.2 * new, rtol=1e-5)


@pytest.fixture(scope="module")
def fitted(blobs):
    """A hundred passes of two steps, since no number of steps is given."""
    calls = []
    found = temi.fit(
        KEY,
        blobs.x,
        num_classes=4,
        num_heads=3,
        batch_size=80,
        num_neighbors=10,
        hidden_dim=32,
        bottleneck_dim=16,
        learning_rate=3e-3,
        decay=0.9,
        progress=lambda done, of: calls.append((done, of)),
    )
    return found, calls


def test_blobs_are_recovered(fitted, blobs):
    found, calls = fitted
    assigned = temi.assign(found, blobs.x)
    assert assigned.dtype == np.int32
    table = metrics.contingency(assigned, blobs.labels)
    assert metrics.hungarian_accuracy(table) == 1
    losses = np.asarray(found.losses)
    assert losses[-20:].mean() < losses[:20].mean()
    assert calls == [(10 * i, 200) for i in range(1, 21)]
    np.testing.assert_allclose(found.marginal, 0.25, atol=0.1)


def test_the_head_of_least_loss_is_kept(fitted):
    found, _ = fitted
    last_pass = np.asarray(found.losses)[-2:].mean(axis=0)
    assert found.best == last_pass.argmin()


def test_a_head_that_diverged_is_not_kept():
    losses = np.array([[0.5, np.nan, 0.4, 0.6]] * 3)
    head = temi.Head(*[np.arange(4.0)] * 6)
    averages = temi._Averages(head, np.ones((4, 2)), losses)
    best = jax.jit(temi._best, static_argnums=2)
    found = best(averages, 0.1, 2)
    assert found.best == 2 and found.head.scales == 2
    averages = averages._replace(losses=np.full((3, 4), np.nan))
    assert best(averages, 0.1, 2).best == -1


def test_logits_are_the_head_over_the_temperature(fitted, blobs):
    found, _ = fitted
    (head,) = float64_heads(jax.tree.map(lambda a: a[None], found.head))
    expected = apply(head, blobs.x[:5].astype(np.float64)) / 0.1
    np.testing.assert_allclose(temi.logits(found, blobs.x[:5]), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(x=np.ones(4)), ValueError, "temi.fit: expected one shape of rank 2"),
        (dict(x=np.ones((4, 2), int)), TypeError, "x of floats"),
        (dict(x=np.ones((1, 2))), ValueError, "rows of x >= 2; got 1"),
        (dict(num_classes=1), ValueError, "num_classes >= 2"),
        (dict(num_steps=0), ValueError, "num_steps >= 1"),
        (dict(temperature=0.0), ValueError, "temperature > 0"),
        (dict(decay=1.5), ValueError, r"decay in \[0, 1\]; got 1.5"),
        (dict(weight_decay=-1.0), ValueError, "weight_decay >= 0"),
    ],
)
def test_wrong_inputs_are_refused(change, error, message):
    options = dict(x=np.ones((4, 2), np.float32), num_classes=2) | change
    with pytest.raises(error, match=message):
        temi.fit(KEY, **options)
