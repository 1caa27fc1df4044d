"""Which factors of variation can be read off the encoding of each modality."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from repr_jax import metrics
from repr_jax.data.content_style import FACTORS
from repr_jax.estimators import kernel_ridge, ridge
from repr_jax.evaluators.common import collect_targets, subsets
from repr_jax.models.mlp import MLP


def standardized(x, *others):
    """x and others, shifted and scaled so that the columns of x have mean 0, std 1.

    A column of x that does not vary is shifted alone.
    """
    mean, std = np.mean(x, axis=0), np.std(x, axis=0)
    std = np.where(std > 0, std, 1.0)
    return tuple((a - mean) / std for a in (x, *others))


r2 = jax.jit(metrics.r2)


@jax.jit
def linear(x, y, x_test):
    """Ordinary least squares: predictions for x_test."""
    return ridge.predict(ridge.fit(x, y), x_test)


def kernel(x, y, x_test, gamma, penalty):
    """Kernel ridge regression: predictions for x_test."""
    fitted = kernel_ridge.fit(x, y, gamma=gamma, penalty=penalty)
    return kernel_ridge.predict(fitted, x_test)


def network(x, y, x_test, *, num_steps, seed=0):
    """A small network trained with Adam on the squared error: predictions for x_test.

    One layer of 100, batches of 200 and a rate of 0.001, as scikit-learn's MLPRegressor
    has by default; targets are standardised while it learns, and it takes `num_steps`
    steps whatever the loss does.
    """
    mean, std = np.mean(y, axis=0), np.maximum(np.std(y, axis=0), 1e-12)
    x, y, x_test = (np.asarray(a, np.float32) for a in (x, (y - mean) / std, x_test))
    return np.asarray(_network(x, y, x_test, num_steps, seed)) * std + mean


@functools.partial(jax.jit, static_argnames="num_steps")
def _network(x, y, x_test, num_steps, seed):
    model, optimizer = MLP((100, y.shape[1]), uniform_init=True), optax.adam(1e-3)
    key = jax.random.key(seed)

    def loss(params, rows):
        error = model.apply({"params": params}, x[rows], train=True) - y[rows]
        return jnp.mean(error**2)

    def step(carry, number):
        params, state = carry
        step_key = jax.random.fold_in(key, number)
        rows = jax.random.randint(step_key, (200,), 0, len(x))
        updates, state = optimizer.update(jax.grad(loss)(params, rows), state)
        return (optax.apply_updates(params, updates), state), None

    params = model.init(key, x[:1], train=False)["params"]
    start = params, optimizer.init(params)
    (params, _), _ = jax.lax.scan(step, start, jnp.arange(num_steps))
    return model.apply({"params": params}, x_test, train=False)


def probes(fit, test, *, kernel_rows, num_rounds, network_steps, seed):
    """{"target/probe": test R2}; fit, test: (x, dict of y) of one encoding."""
    x, x_test = standardized(fit[0], test[0])
    names = list(fit[1])
    y = np.concatenate([fit[1][name] for name in names], axis=1)
    ends = np.cumsum([fit[1][name].shape[1] for name in names])
    columns = [
        slice(end - fit[1][name].shape[1], end) for name, end in zip(names, ends)
    ]
    some = np.random.default_rng(seed).permutation(len(x))[:kernel_rows]
    search = kernel_ridge.search(x[some], y[some], num_rounds=num_rounds)
    all_linear = np.asarray(linear(x, y, x_test))
    if network_steps:
        all_network = network(x, y, x_test, num_steps=network_steps, seed=seed)
    found = {}
    for name, column in zip(names, columns):
        truth = test[1][name]
        predictions = {"linear": all_linear[:, column]}
        numbers = kernel_ridge.best(search, column)
        predictions["kernel"] = kernel(x[some], y[some, column], x_test, *numbers)
        if network_steps:
            predictions["network"] = all_network[:, column]
        for probe, prediction in predictions.items():
            found[f"{name}/{probe}"] = float(r2(np.asarray(prediction), truth))
    return found


def evaluate(
    trained,
    dataset,
    *,
    targets: Sequence[str] = FACTORS,
    max_fit: int = 20_480,
    max_test: int = 20_480,
    kernel_rows: int = 1_500,
    num_rounds: int = 1,
    network_steps: int = 0,
    intervene: Callable | None = None,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, float]:
    """R2 on the test split of predicting every factor from every modality's encoding.

    Probes are fitted to the training split, on encodings standardised by it; factors
    are left as they are. Three probes: least squares; Gaussian kernel ridge with gamma
    and penalty chosen on held-out thirds of its rows, one choice for each factor; and a
    small network on request.

    Args:
      trained: Trained, with modalities.
      dataset: Dataset.
      targets: entries of a prepared batch, float [batch, dim]; those it lacks are left
        out.
      max_fit, max_test: rows of the splits that are used.
      kernel_rows: rows the kernel probe is fitted to, since its cost is cubic;
        published: all 20,480.
      num_rounds: 1 holds out one third, 3 every third in turn, as published.
      network_steps: of training the network probe; 0 does without.
      intervene: batch -> batch, such as `content_style.permute_content`: everything is
        repeated on changed batches.
      batch_size: rows encoded at a time.
      seed: of the kernel's rows and the network.

    Returns:
      "r2/x1/content/linear", "r2/x1/content/kernel", "r2/x1/content/network", ...;
      after the intervention "intervened/x1/content/linear", ... At most 1, below 0 if
      worse than the mean.

    Raises:
      ValueError: a model of one input, or a dataset without any of the targets.
    """
    if not trained.modalities:
        raise ValueError("latents: expected a model of several modalities; got one.")
    first = trained.prepare(next(iter(dataset.evaluate("test", batch_size))))
    targets = tuple(name for name in targets if name in first)
    if not targets:
        raise ValueError(
            f"latents: expected factors in a batch; got {', '.join(sorted(first))}."
        )
    sources = {"r2": dataset}
    if intervene is not None:
        sources["intervened"] = dataset._replace(
            evaluate=lambda *arguments: map(intervene, dataset.evaluate(*arguments))
        )
    found = {}
    for title, source in sources.items():
        for name, present in subsets(trained.modalities).items():
            if np.sum(present) > 1:
                continue
            fit, test = (
                collect_targets(
                    trained, source, split, batch_size, targets, present, limit
                )
                for split, limit in (("train", max_fit), ("test", max_test))
            )
            scores = probes(
                fit,
                test,
                kernel_rows=kernel_rows,
                num_rounds=num_rounds,
                network_steps=network_steps,
                seed=seed,
            )
            found |= {f"{title}/{name}/{key}": value for key, value in scores.items()}
    return found
