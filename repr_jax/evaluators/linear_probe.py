"""Linear classification of representations, for every subset of the modalities."""

import numpy as np
from absl import logging

from repr_jax.estimators import logistic
from repr_jax.evaluators.common import collect, mean_by_views, subsets
from repr_jax.ops import checks


def stratified(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """[min(count, rows)] indices, drawn without replacement, classes in proportion."""
    order = np.random.default_rng(seed).permutation(len(labels))
    share = np.empty(len(labels))  # of its class drawn before a row is, in (0, 1)
    for name in np.unique(labels):
        mine = order[labels[order] == name]
        share[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return order[np.argsort(share[order], kind="stable")[:count]]


def score(x, y, x_test, y_test, *, inverse_penalty: float = 1.0) -> float:
    """Held-out accuracy in [0, 1] of the logistic regression fitted to (x, y)."""
    if np.asarray(y).dtype.kind == "f":
        checks.finite("linear_probe", y=y)
    classes, y = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"linear_probe: expected labels of two or more classes; got {classes}."
        )
    penalty = 1 / inverse_penalty
    probe = logistic.fit(x, y, num_classes=len(classes), penalty=penalty)
    if not probe.converged:
        logging.warning(
            "linear_probe: the fit to %d rows did not converge: after %d steps the "
            "gradient is %.1e. Its accuracy is that of this state.",
            *(len(x), probe.num_steps, probe.gradient),
        )
    predictions = classes[np.asarray(logistic.predict(probe, x_test))]
    return float(np.mean(predictions == np.asarray(y_test)))


def evaluate(
    trained,
    dataset,
    *,
    num_train: int = 500,
    max_train: int = 10_000,
    inverse_penalty: float = 1.0,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, float]:
    """Accuracy on the test split of a linear classifier of the posterior means.

    Multinomial logistic regression, L2 penalty with C = 1, features not scaled, fitted
    to the training split twice: to all of it, and to `num_train` rows as published.

    Args:
      trained: Trained.
      dataset: Dataset with a `label`.
      num_train: rows of the small fit, classes in proportion.
      max_train: rows of the large fit; a longer training split is thinned at random to
        so many, since all are encoded once for each of the 2^M - 1 subsets.
      inverse_penalty: C, > 0.
      batch_size: rows encoded at a time.
      seed: of the choice of the `num_train` rows.

    Returns:
      For every subset "linear_probe/m0+m1" (large fit) and "linear_probe_500/m0+m1"
      (small fit, named by its rows); means over the subsets of a size,
      "linear_probe/1_view", "linear_probe/2_views". Fractions in [0, 1]. Of a model
      with one input, {"accuracy": large fit, "accuracy_500": small fit}.

    Source: protocol of Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
      https://arxiv.org/abs/2105.02470. They draw the 500 rows with replacement.
    """
    large, small = {}, {}
    for name, present in (subsets(trained.modalities) or {"": None}).items():
        x, y = collect(trained, dataset, "train", batch_size, present, max_train)
        test = collect(trained, dataset, "test", batch_size, present)
        few = stratified(y, num_train, seed)
        large[name] = score(x, y, *test, inverse_penalty=inverse_penalty)
        small[name] = score(x[few], y[few], *test, inverse_penalty=inverse_penalty)
    if not trained.modalities:
        return {"accuracy": large[""], f"accuracy_{num_train}": small[""]}
    found = {}
    for title, scores in (
        ("linear_probe", large),
        (f"linear_probe_{num_train}", small),
    ):
        scores = scores | mean_by_views(scores)
        found |= {f"{title}/{name}": value for name, value in scores.items()}
    return found
