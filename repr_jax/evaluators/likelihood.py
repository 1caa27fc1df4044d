"""Held-out log-likelihood by importance sampling: joint, marginal and conditional.

The estimate of log p(x_A) is log mean_k p(x_A | z_k) p(z_k) / q(z_k | x_A), z_k drawn
from the model's own posterior of A. It is low on average, less so with more samples,
and right in the limit if the weights hold the density that the samples are of: that of
a whole mixture, never that of the component that was drawn.

Source: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", 2016, eq.
  8, https://arxiv.org/abs/1509.00519.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    batches,
    given_subsets,
    needs,
    rows_with,
    subset_name,
)
from repr_jax.ops import checks


class Estimate(NamedTuple):
    """Of each row, in float64 and nats."""

    log_likelihood: np.ndarray  # [rows] log p(x_A)
    cross: np.ndarray  # [target, rows] log E_q(z | x_A) p(x_target | z)
    effective: np.ndarray  # [rows] effective number of samples over all, in (0, 1]
    curve: dict[int, np.ndarray]  # {samples: [rows] log p(x_A) by the first so many}


def estimate(ask, inside, targets, *, num_samples: int, key) -> Estimate:
    """Adds up samples, those of one call in memory at a time.

    Args:
      ask: key -> {"log_likelihood": [sample, modality, rows], "log_ratio": [sample,
        rows]}, of new samples: log p(x_m | z), and log p(z) - log q(z).
      inside: [rows, modality] bool, A.
      targets: [target, modality] bool, of `cross`.
      num_samples: calls go on until there are so many.
      key: PRNG key.
    """
    sums = squares = cross = -np.inf  # logarithms of sums over samples
    mean, seen, calls, curve = 0.0, 0, 0, {}
    while seen < num_samples:
        drawn = ask(jax.random.fold_in(key, calls))
        of_each = np.asarray(drawn["log_likelihood"], np.float64)
        of_given = np.sum(of_each, axis=1, where=inside.T[None])
        weights = of_given + np.asarray(drawn["log_ratio"], np.float64)
        of_targets = np.stack([np.sum(of_each[:, t], axis=1) for t in targets], axis=1)
        sums = np.logaddexp(sums, np.logaddexp.reduce(weights))
        squares = np.logaddexp(squares, np.logaddexp.reduce(2 * weights))
        cross = np.logaddexp(cross, np.logaddexp.reduce(of_targets))
        mean += np.mean(weights, axis=0)
        seen, calls = seen + len(weights), calls + 1
        if calls & (calls - 1) == 0 or seen >= num_samples:  # 1, 2, 4, ... calls
            curve[seen] = sums - np.log(seen)
    curve = {1: 0} | curve | {1: mean / calls}  # the bound of one sample, by all
    effective = np.exp(2 * sums - squares) / seen
    return Estimate(curve[seen], cross - np.log(seen), effective, curve)


def of_batch(trained, batch, subset, targets, *, num_samples, key):
    """The Estimate of a batch, NaN in what does not count; its presence.

    subset: bool [modality], A; None for whatever a row has. A row counts if it has all
    of A, and for a target if it has that too. None if no row counts.
    """
    where = np.asarray(batch["where"])
    shape = (len(where), max(len(trained.modalities), 1))
    here = where[:, None] & np.broadcast_to(batch.get("present", True), shape)
    inside = here if subset is None else here & subset
    counts = rows_with(batch, subset)
    if not np.any(counts):
        return None, here
    asked = {**batch, "given": inside}

    def ask(key):
        return trained.outputs["log_weights"](asked, key)

    with np.errstate(invalid="ignore", over="ignore"):  # of rows that do not count
        found = estimate(ask, inside, targets, num_samples=num_samples, key=key)
    has = np.stack([np.all(here[:, target], axis=1) for target in targets])
    found = found._replace(cross=np.where(has, found.cross, np.nan))
    return jax.tree.map(lambda x: np.where(counts, x, np.nan), found), here


def of_split(trained, dataset, subset, targets, *, batch_size, limit, key, num_samples):
    """As `of_batch`, of all rows of the test split."""
    estimates, presence = [], []
    for n, batch in enumerate(batches(dataset, "test", batch_size, limit=limit)):
        own_key, where = jax.random.fold_in(key, n), np.asarray(batch["where"])
        options = dict(num_samples=num_samples, key=own_key)
        found, here = of_batch(trained, batch, subset, targets, **options)
        estimates.append(jax.tree.map(lambda x, w=where: x[..., w], found))
        presence.append(here[where])
    known = next((found for found in estimates if found is not None), None)
    if known is None:
        return None, np.concatenate(presence)

    def absent(rows):
        return jax.tree.map(lambda x: np.full((*x.shape[:-1], rows), np.nan), known)

    parts = [found or absent(len(rows)) for found, rows in zip(estimates, presence)]
    joined = jax.tree.map(lambda *x: np.concatenate(x, axis=-1), *parts)
    return joined, np.concatenate(presence)


def targets_of(names, subset) -> dict[str, np.ndarray]:
    """{name: bool [modality]} outside of the subset: each modality, and all of them."""
    found = {name: np.array([name == n for n in names]) for name in names}
    outside = {n: row for n, row in found.items() if not np.any(row & subset)}
    if len(outside) > 1:
        outside[subset_name(names, ~subset)] = ~subset
    return outside


def mean(values) -> tuple[float, float, int] | None:
    """Mean over the rows that have a value, its standard error, and their number."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error), len(values)


ABOUT = (
    "Log-likelihood of test examples in nats by {} samples an example, higher is "
    "better; a bound from below on average, as tight as the effective share of samples "
    "is large, which is 1 if the model's posterior is exact. The standard error is "
    "that of the mean over so many rows. Chance has no level."
)
BETWEEN = (
    "Of what follows the arrow, given what precedes it. difference: log p of both less "
    "log p of the given, each with the posterior of its own modalities as proposal; "
    "both are low on average, so that their difference is no bound. cross: log E "
    "p(x | z), z from the posterior of the given, which is low on average too; in the "
    "limit it is the same if that posterior is exact."
)
CURVE = "By the first so many samples, all rows; at 1 the evidence bound."


@needs("log_weights")
def evaluate(
    trained,
    dataset,
    *,
    num_samples: int = 1_000,
    given: Sequence[str] | None = None,
    batch_size: int = 256,
    limit: int | None = 1_000,
    seed: int = 0,
) -> Evaluation:
    """Mean log-likelihood of the test split, in nats an example.

    Every modality is decoded `num_samples` times for each row and each `given`.

    Args:
      trained: Trained, with `log_weights`: a batch -> "log_likelihood" [sample,
        modality, batch], of z drawn from the posterior of what `given` [batch,
        modality] of the batch marks, and "log_ratio" [sample, batch], log p(z) less
        the log density of all that z may be drawn from.
      dataset: Dataset.
      num_samples: >= 1 of z for an example, in calls of as many as the model draws.
      given: names such as "m0+m1", of marginals; None for each modality, and for all
        but one. All modalities together are always there.
      batch_size, limit: rows at a time; random test rows to use, None for all.
      seed: of the samples.

    Returns:
      "joint": log p(x) of the rows that have all modalities; "observed": of what a row
        has, if some are incomplete. "m0", "m0+m1", ...: marginals.
      "conditional/m0->m1": log p(x_m1 | x_m0), a difference of two of those on the
        rows that have both; "cross/m0->m1": log E_q(z | x_m0) p(x_m1 | z).
      "effective/joint", "effective/m0", ...: effective share of the samples, in (0, 1].
      What no row has is left out. No picture; chance has no level.

    Raises:
      ValueError: no row has any modality; `given` is not as above.
    """
    checks.count("likelihood", num_samples=num_samples)
    names = trained.modalities or ("",)
    full = np.ones(len(names), bool)
    options = dict(num_samples=num_samples, batch_size=batch_size, limit=limit)
    asked = {"joint": None, **given_subsets(names, given)}
    key, estimates, presence, cross = jax.random.key(seed), {}, None, {}
    for s, (name, subset) in enumerate(asked.items()):
        inside = full if subset is None else subset
        targets = targets_of(names, inside) or {"": full}
        own_key, wanted = jax.random.fold_in(key, s), list(targets.values())
        found, presence = of_split(
            trained, dataset, subset, wanted, key=own_key, **options
        )
        if found is not None:
            estimates[name] = found
            if not inside.all():
                cross |= {f"{name}->{t}": x for t, x in zip(targets, found.cross)}
    if not estimates:
        raise ValueError(
            "likelihood: expected test rows with a modality at least; got none."
        )
    return summary(names, estimates, cross, presence)


def summary(names, estimates, cross, presence) -> Evaluation:
    """Numbers and tables; estimates by name of the subset, cross by "m0->m1"."""
    values = {name: found.log_likelihood for name, found in estimates.items()}
    complete = np.all(presence, axis=1)
    everything = values.pop("joint")
    of_all = {"joint": np.where(complete, everything, np.nan)}
    if not np.all(complete):
        of_all["observed"] = everything
    values = of_all | values
    means = {name: mean(x) for name, x in values.items()}
    means = {name: found for name, found in means.items() if found}
    shares = {name: mean(found.effective) for name, found in estimates.items()}
    numbers = {name: found[0] for name, found in means.items()}
    between = {}
    for given, lower in values.items():
        for both, upper in values.items():
            inside = set(given.split("+"))
            outside = [n for n in members(names, both) if n not in inside]
            known = given not in of_all and both != "observed"
            if known and outside and inside < set(members(names, both)):
                between[f"{given}->{'+'.join(outside)}"] = upper - lower
    pairs = [
        ("conditional", {name: mean(x) for name, x in between.items()}),
        ("cross", {name: mean(x) for name, x in cross.items()}),
    ]
    for kind, found in pairs:
        numbers |= {f"{kind}/{name}": x[0] for name, x in found.items() if x}
    numbers |= {f"effective/{name}": x[0] for name, x in shares.items()}
    tables = tabulate(means, shares, numbers, estimates["joint"].curve)
    return Evaluation(numbers, tables=tables, headline=("joint",))


def members(names, subset: str) -> Sequence[str]:
    """Of "m0+m1", or of "joint"."""
    return names if subset == "joint" else subset.split("+")


def tabulate(means, shares, numbers, curve) -> tuple[Table, ...]:
    """Of joint and marginals; of conditionals, if there are any; of the samples."""
    rows = [
        (name, *found, shares.get(name, shares["joint"])[0])
        for name, found in means.items()
    ]
    header = ("of", "nats", "standard error", "rows", "effective share")
    tables = [Table("Log-likelihood", ABOUT.format(max(curve)), header, rows)]
    kinds = ("conditional/", "cross/")
    names = dict.fromkeys(
        name.partition("/")[2] for name in numbers if name.startswith(kinds)
    )
    if names:
        rows = [(name, *(numbers.get(k + name) for k in kinds)) for name in names]
        header = ("given -> of", "difference", "cross")
        tables.append(Table("Conditional log-likelihood", BETWEEN, header, rows))
    rows = [(str(count), mean(x)[0]) for count, x in curve.items()]
    title = "Log-likelihood by number of samples"
    tables.append(Table(title, CURVE, ("samples", "nats"), rows))
    return tuple(tables)
