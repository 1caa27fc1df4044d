import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.data.dataset import Dataset, padded_rows
from repr_jax.evaluators import rays
from repr_jax.evaluators.common import Trained
from repr_jax.ops.uncertainty import energy

NUM = 21
X = np.random.default_rng(0).normal(size=(NUM, 3)).astype("f")


def evaluate(split, batch_size):
    for rows, where in padded_rows(NUM, batch_size):
        yield {"x": X[rows], "where": where}


DATASET = Dataset(None, evaluate, None, dict(train=NUM, test=NUM), ())


def entropy(logits):
    log_p = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_p) * log_p, axis=1)


def evaluated(logits, **scores):
    model = Trained({"logits": logits}, lambda batch: batch, (), "")
    options = dict(entry="x", scales=(100.0,), batch_size=8)
    return rays.evaluate(model, DATASET, scores=scores, **options)


def test_a_piecewise_linear_net_is_sure_of_what_is_far_away():
    found = evaluated(lambda batch: batch["x"], entropy=entropy, energy=energy).numbers
    assert found["entropy/auroc_at_100"] < 0.05
    assert found["entropy/mean_at_100"] < 0.05
    shares = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    assert -np.mean(np.sum(shares * np.log(shares), axis=1)) > 0.5  # near


def test_a_score_that_grows_with_distance_notices():
    found = evaluated(
        lambda batch: batch["x"], norm=lambda logits: jnp.sum(logits**2, axis=1)
    )
    assert found.numbers["norm/auroc_at_100"] > 0.95
    assert found.chance == {"norm/auroc_at_100": 0.5}
    bounded = evaluated(lambda batch: np.tanh(batch["x"]) * 0, entropy=entropy)
    assert bounded.numbers["entropy/auroc_at_100"] == 0.5
