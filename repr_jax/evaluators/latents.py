"""Which factors of variation can be read off the encoding of each modality.

Probes are fitted to the training split, on encodings standardized by it; factors are
left as they are. Three probes: least squares; Gaussian kernel ridge with gamma and
penalty chosen on held-out thirds of its rows, one choice for each factor; and a small
network on request.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from repr_jax import metrics, optim
from repr_jax.data.content_style import FACTORS
from repr_jax.estimators import kernel_ridge, ridge
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    collect_targets,
    moments,
    needs,
)
from repr_jax.models.mlp import MLP


def standardized(x, *others):
    """x and others, shifted and scaled so that the columns of x have mean 0, std 1.

    A column of x that does not vary is shifted alone.
    """
    mean, std = moments(x)
    return tuple(((a - mean) / std).astype(np.asarray(a).dtype) for a in (x, *others))


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
    has by default; targets are standardized while it learns, and it takes `num_steps`
    steps whatever the loss does.
    """
    mean, std = moments(y)
    x, y, x_test = (np.asarray(a, np.float32) for a in (x, (y - mean) / std, x_test))
    return np.asarray(_network(x, y, x_test, num_steps, seed)) * std + mean


@functools.partial(jax.jit, static_argnames="num_steps")
def _network(x, y, x_test, num_steps, seed):
    model, optimizer = MLP((100, y.shape[1]), uniform_init=True), optax.adam(1e-3)
    key = jax.random.key(seed)

    def loss(params, extras, key, step):
        rows = jax.random.randint(key, (200,), 0, len(x))
        error = model.apply({"params": params}, x[rows], train=True) - y[rows]
        return jnp.mean(error**2), extras

    params = model.init(key, x[:1], train=False)["params"]
    state = optim.start_descent(params, optimizer, num_steps=num_steps)
    state = optim.descend(loss, state, key=key, optimizer=optimizer, until=num_steps)
    return model.apply({"params": state.params}, x_test, train=False)


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


def known(trained, dataset, targets, batch_size) -> tuple[str, ...]:
    """The targets that prepared batches have; ValueError if there is none."""
    if not trained.modalities:
        raise ValueError("latents: expected a model of several modalities; got one.")
    first = trained.prepare(next(iter(dataset.evaluate("test", batch_size))))
    found = tuple(name for name in targets if name in first)
    if not found:
        raise ValueError(
            f"latents: expected factors in a batch; got {', '.join(sorted(first))}."
        )
    return found


def changed(dataset, intervene: Callable):
    """The dataset with changed batches where it is evaluated."""

    def evaluate(split, batch_size):
        return map(intervene, dataset.evaluate(split, batch_size))

    return dataset._replace(evaluate=evaluate)


def encoded(trained, dataset, targets, *, max_fit, max_test, batch_size) -> Iterator:
    """(modality, fit, test): what it alone is encoded as, of the rows that have it.

    fit, test: (x [rows, dim], {target: [rows, ...]}). A modality that no row of a split
    has is left out.
    """
    names = trained.modalities
    for name, alone in zip(names, np.eye(len(names), dtype=bool)):
        fit, test = (
            collect_targets(trained, dataset, split, batch_size, targets, alone, limit)
            for split, limit in (("train", max_fit), ("test", max_test))
        )
        if len(fit[0]) and len(test[0]):
            yield name, fit, test


def by_factor(title: str, note: str, scores: Mapping[str, float]) -> Table:
    """{"modality/factor/probe": value} as a row a factor."""
    keys = [name.split("/") for name in scores]
    factors = dict.fromkeys(factor for _, factor, _ in keys)
    columns = list(dict.fromkeys((modality, probe) for modality, _, probe in keys))
    rows = [
        (factor, *(scores.get(f"{m}/{factor}/{probe}") for m, probe in columns))
        for factor in factors
    ]
    header = ("factor", *(f"{modality}, {probe}" for modality, probe in columns))
    return Table(title, note, header, rows)


ABOUT = (
    "R2 on test examples of predicting a factor from the encoding of one modality: 1 "
    "is perfect, 0 no better than the mean. linear: least squares; kernel: Gaussian "
    "kernel ridge regression; network: a small network."
)
CHANGED = "The same for probes of examples that were changed by an intervention."
KINDS = {
    "r2": ("Factors of variation", ABOUT),
    "intervened": ("Factors of variation, intervened on", CHANGED),
}


@needs("represent")
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
) -> Evaluation:
    """R2 on the test split of predicting every factor from every modality's encoding.

    Args:
      trained: Trained, with modalities.
      dataset: Dataset.
      targets: entries of a prepared batch, float [batch, dim]; those it lacks are left
        out.
      max_fit, max_test, batch_size: rows of the splits that are used, and at a time.
      kernel_rows: rows the kernel probe is fitted to, since its cost is cubic;
        published: all 20,480.
      num_rounds: 1 holds out one third, 3 every third in turn, as published.
      network_steps: of training the network probe; 0 does without.
      intervene: batch -> batch, such as `content_style.permute_content`: everything is
        repeated on changed batches.
      seed: of the kernel's rows and the network.

    Returns:
      "r2/x1/content/linear", "r2/x1/content/kernel", "r2/x1/content/network", ...;
      after the intervention "intervened/x1/content/linear", ... At most 1, below 0 if
      worse than the mean.

    Raises:
      ValueError: a model of one input, or a dataset without any of the targets.
    """
    targets = known(trained, dataset, targets, batch_size)
    sources = {"r2": dataset}
    if intervene is not None:
        sources["intervened"] = changed(dataset, intervene)
    rows = dict(max_fit=max_fit, max_test=max_test, batch_size=batch_size)
    options = dict(
        kernel_rows=kernel_rows,
        num_rounds=num_rounds,
        network_steps=network_steps,
        seed=seed,
    )
    found, tables = {}, []
    for title, source in sources.items():
        scores = {}
        for name, fit, test in encoded(trained, source, targets, **rows):
            of_one = probes(fit, test, **options)
            scores |= {f"{name}/{key}": value for key, value in of_one.items()}
        found |= {f"{title}/{key}": value for key, value in scores.items()}
        tables.append(by_factor(*KINDS[title], scores))
    headline = [f"r2/{name}/{targets[0]}/kernel" for name in trained.modalities]
    return Evaluation(found, {}, tables, dict.fromkeys(found, 0.0), headline)
