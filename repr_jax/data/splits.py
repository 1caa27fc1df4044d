"""Rows dealt out to clients that do not share them, and batches client after client."""

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from repr_jax.data.dataset import (
    Dataset,
    batch_indices,
    check_seed,
    check_train,
    resolve,
    this_process,
)
from repr_jax.ops import checks

ATTEMPTS = 1_000  # draws of the shares before we say that no client can be so large


def dirichlet(
    labels: np.ndarray,
    *,
    num_clients: int,
    alpha: float,
    fewest: int = 10,
    seed: int = 0,
) -> np.ndarray:
    """[rows] int32, the client of each row: classes are unevenly dealt out.

    Of each class the clients get shares drawn from Dirichlet(alpha, ..., alpha). All
    shares are drawn again until every client has `fewest` rows.

    Args:
      labels: [rows] int, any whole numbers.
      num_clients: >= 1.
      alpha: > 0; small: few classes a client, large: all clients alike.
      fewest: >= 1, rows of a client at least.
      seed: of the shares, and of which rows they are.

    Raises:
      ValueError: numbers out of range, or clients without so many rows in 1,000 draws.

    Source: Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution
      for Federated Visual Classification", 2019, https://arxiv.org/abs/1909.06335.
      There each client draws its shares of the classes; here, as in later codes, each
      class its shares of the clients, so that all rows are dealt out.
    """
    who = "splits.dirichlet"
    labels = np.asarray(labels)
    checks.same_shape(who, rank=1, labels=labels)
    checks.integers(who, labels=labels)
    checks.count(who, num_clients=num_clients, fewest=fewest)
    checks.positive(who, alpha=alpha)
    check_seed(who, seed)
    for attempt in range(ATTEMPTS):
        rng, found = np.random.default_rng((seed, attempt)), np.empty(len(labels), "i4")
        for k in np.unique(labels):
            rows = rng.permutation(np.flatnonzero(labels == k))
            ends = np.cumsum(rng.dirichlet(np.full(num_clients, alpha)))[:-1]
            for client, own in enumerate(
                np.split(rows, np.rint(ends * len(rows)).astype(int))
            ):
                found[own] = client
        if np.bincount(found, minlength=num_clients).min() >= fewest:
            return found
    raise ValueError(
        f"{who}: expected {fewest} rows for each of {num_clients} clients; got fewer "
        f"for one of them in each of {ATTEMPTS} draws from {len(labels)} rows."
    )


def clients(
    *,
    dataset: Dataset | Callable,
    num_clients: int,
    alpha: float,
    labeled: float = 1.0,
    fewest: int = 10,
    seed: int = 0,
) -> Dataset:
    """A dataset whose training batches have as many rows of each client, in order.

    Each client goes through its rows in an order of its own, a new one each epoch. A
    training batch also has "labeled", bool [batch], the same for a row at all times,
    and the dataset the fixed entry "client_sizes", int32 [num_clients], rows of each.
    All training rows are read once, and held in memory as they are stored.

    Args:
      dataset: whose rows are dealt out by their "label", a dataset or a function that
        makes one. Its evaluation stays as it is.
      num_clients, alpha, fewest: as of `dirichlet`.
      labeled: in [0, 1], the share of each client's rows whose labels may be used.
      seed: of everything here.

    Raises:
      ValueError: as `dirichlet`; a batch_size that is no multiple of num_clients.
    """
    who = "splits.clients"
    checks.fraction(who, labeled=labeled)
    found = resolve(who, "dataset", dataset)
    rows = _all_rows(found)
    options = dict(num_clients=num_clients, alpha=alpha, fewest=fewest, seed=seed)
    client = dirichlet(rows["label"], **options)
    owned = [np.flatnonzero(client == c) for c in range(num_clients)]
    known = np.zeros(len(client), bool)
    for c, own in enumerate(owned):
        order = np.random.default_rng((seed, c)).permutation(own)
        known[order[: round(labeled * len(own))]] = True
    rows["labeled"] = known

    def train_rows(step: int, batch_size: int) -> np.ndarray:
        if batch_size % num_clients:
            raise ValueError(
                f"{who}: expected batch_size a multiple of the {num_clients} clients; "
                f"got {batch_size}."
            )
        each = functools.partial(
            batch_indices, seed, step, batch=batch_size // num_clients
        )
        return this_process(np.concatenate([own[each(len(own))] for own in owned]))

    def train(batch_size: int, start_step: int = 0) -> Iterator[dict]:
        check_train(who, batch_size, start_step)
        chosen = (train_rows(step, batch_size) for step in itertools.count(start_step))
        return ({name: x[some] for name, x in rows.items()} for some in chosen)

    sizes = np.array([len(own) for own in owned], np.int32)
    fixed = {**found.fixed, "client_sizes": sizes}
    return found._replace(train=train, train_rows=train_rows, fixed=fixed)


def _all_rows(dataset: Dataset) -> dict[str, np.ndarray]:
    """Every training row, as it comes from evaluation."""
    batches = [
        {name: x[batch["where"]] for name, x in batch.items() if name != "where"}
        for batch in dataset.evaluate("train", 1024)
    ]
    return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
