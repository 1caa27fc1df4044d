"""Spurious correlations of a stated strength, drawn, or made by choosing real rows.

One definition for all: of K equally frequent labels y and a bijection phi from labels
to the K values of an attribute a,

    a = phi(y) with probability r, and otherwise uniform, independent of y.

So a = phi(y) with probability q = r + (1 - r) / K, Cramer's V of y and a is |r|, and a
rule that reads nothing but a is right with probability q. At r = 1 the attribute is as
good as the label, at r = 0 it says nothing; r < 0, down to -1 / (K - 1), makes phi(y)
rarer than the other values.

Datasets of shift have the splits of SPLITS: "train" and "test" are drawn at r_id and
are in distribution; "ood_head", for a small head on frozen features, and "ood_test" are
drawn at r_ood. No example is in two of them. Their batches have "image", "label",
"spurious" (the attribute), "domain" and "index" (the example).

Source: Shi et al., "How Robust is Unsupervised Representation Learning to Distribution
Shift?", 2023, https://arxiv.org/abs/2206.08871. The definition between r = 0 and 1, and
how real rows are chosen, are ours: the paper's own could not be confirmed.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from repr_jax.data.dataset import Dataset, check_seed, of_rows, uniform
from repr_jax.ops import checks

SPLITS = ("train", "test", "ood_head", "ood_test")
ATTRIBUTE_STREAM, CELL_STREAM = 0xA77, 0xCE1  # of `dataset.uniform`


class Shift(NamedTuple):
    """How strong the correlation is in and out of distribution, and of which seed."""

    r_id: float = 1.0
    r_ood: float = 0.0
    seed: int = 0

    def of(self, split: str) -> float:
        """The r of a split."""
        return self.r_ood if split.startswith("ood") else self.r_id


def check_shift(who: str, shift: Shift, num_values: int) -> Shift:
    """ValueError unless the seed is one and each r in [-1 / (num_values - 1), 1]."""
    check_seed(who, shift.seed)
    low = -1 / (num_values - 1)
    for name in ("r_id", "r_ood"):
        r = getattr(shift, name)
        if not low <= r <= 1:
            raise ValueError(f"{who}: expected {name} in [{low:.4g}, 1]; got {r}.")
    return shift


def _check_classes(who: str, size: int, **arrays: np.ndarray) -> None:
    """TypeError for floats, ValueError for what is not in [0, size)."""
    checks.integers(who, **arrays)
    checks.within(who, size, **arrays)


def match_rate(r: float, num_values: int) -> float:
    """q = r + (1 - r) / K, the probability of a = phi(y)."""
    return r + (1 - r) / num_values


def attributes(
    labels: np.ndarray, rows: np.ndarray, *, r: float, num_values: int, seed: int
) -> np.ndarray:
    """The attribute of each row, with phi the identity.

    A row draws the same two numbers whatever r is: the greater r, the more rows match.

    Args:
      labels: [batch] int in [0, num_values).
      rows: [batch] int, numbers of the examples, on which the draws depend.
      r: in [-1 / (num_values - 1), 1].
      num_values: K >= 2.
      seed: of the draws.

    Returns:
      [batch] int32 in [0, num_values).

    Raises:
      ValueError: a label out of range. TypeError: labels that are not integers.
    """
    _check_classes("attributes", num_values, labels=labels)
    draws = uniform(seed, ATTRIBUTE_STREAM, rows, 2)
    matches = draws[:, 0] < match_rate(r, num_values)
    steps = 1 + np.floor(draws[:, 1] * (num_values - 1)).astype(np.int64)
    others = (labels + steps) % num_values
    return np.where(matches, labels, others).astype(np.int32)


def cramers_v(labels: np.ndarray, attributes: np.ndarray) -> float:
    """Cramer's V of two columns of classes, in [0, 1]; 0 is independent.

    sqrt(chi^2 / (n (min(numbers of classes) - 1))), without a correction for few rows.

    Raises:
      ValueError: the two differ in shape or are not [rows]. TypeError: no integers.
    """
    who = "cramers_v"
    checks.same_shape(who, rank=1, labels=labels, attributes=attributes)
    checks.integers(who, labels=labels, attributes=attributes)
    y, a = (np.unique(x, return_inverse=True)[1] for x in (labels, attributes))
    table = np.zeros((y.max() + 1, a.max() + 1))
    np.add.at(table, (y, a), 1.0)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    chi = np.sum((table - expected) ** 2 / expected)
    return float(np.sqrt(chi / (table.sum() * max(min(table.shape) - 1, 1))))


def cell_rates(
    assignment: Sequence[Sequence[int]], num_labels: int, r: float
) -> np.ndarray:
    """[domain, label] float64, the share of each pair at correlation r; the sum is 1.

    p(d, y) = ( r 1(y in A(d)) / |A(d)| + (1 - r) / num_labels ) / num_domains, with
    A(d) the labels that `assignment` gives domain d. Every domain is as frequent.

    Raises:
      ValueError: r is not in [0, 1], or a domain has no label or one out of range.
    """
    checks.fraction("cell_rates", r=r)
    num_domains = len(assignment)
    rates = np.full((num_domains, num_labels), (1 - r) / num_labels)
    for domain, labels in enumerate(assignment):
        if not labels or not set(labels) <= set(range(num_labels)):
            raise ValueError(
                f"cell_rates: expected labels in 0 to {num_labels - 1} for domain "
                f"{domain}; got {tuple(labels)}."
            )
        rates[domain, list(labels)] += r / len(labels)
    return rates / num_domains


def subsample(
    domains: np.ndarray,
    labels: np.ndarray,
    *,
    assignment: Sequence[Sequence[int]],
    num_labels: int,
    r: float,
    grid: Sequence[float],
    seed: int,
) -> np.ndarray:
    """Rows among which domain and label correlate at r, as many for every r of a grid.

    The size N is the largest that every r of the grid has rows for, and each cell gets
    round(N p) of them, see `cell_rates`: the first ones of a permutation of the cell
    that depends on the seed alone, so that of two r the smaller cell is part of the
    larger. Sizes differ by rounding alone.

    Args:
      domains: [rows] int; labels: [rows] int, those of a pool.
      assignment: of each domain 0, 1, ... the labels that go with it; rows of other
        domains are left out.
      num_labels: labels are in [0, num_labels).
      r: in [0, 1], one of the grid.
      grid: every r that is to be compared.
      seed: of the permutations.

    Returns:
      ascending rows of the pool, int64.

    Raises:
      ValueError: r is not of the grid, a pair that is needed has no row, or a label is
        out of range. TypeError: domains or labels that are not integers.
    """
    checks.integers("subsample", domains=domains)
    _check_classes("subsample", num_labels, labels=labels)
    if r not in grid:
        raise ValueError(f"subsample: expected r of the grid {tuple(grid)}; got {r}.")
    cells = _cells(domains, labels, len(assignment), num_labels, seed)
    size = min(_feasible(cells, cell_rates(assignment, num_labels, g)) for g in grid)
    counts = np.round(size * cell_rates(assignment, num_labels, r)).astype(int)
    rows = [cells[cell][:count] for cell, count in np.ndenumerate(counts)]
    return np.sort(np.concatenate(rows))


def _cells(
    domains: np.ndarray,
    labels: np.ndarray,
    num_domains: int,
    num_labels: int,
    seed: int,
) -> Mapping[tuple[int, int], np.ndarray]:
    """Rows of each (domain, label), shuffled."""
    return {
        (d, y): np.random.default_rng((seed, d, y)).permutation(
            np.flatnonzero((domains == d) & (labels == y))
        )
        for d in range(num_domains)
        for y in range(num_labels)
    }


def _feasible(cells: Mapping, rates: np.ndarray) -> int:
    """The largest N with N p rows, and round(N p), in each cell."""
    sizes = []
    for cell, rate in np.ndenumerate(rates):
        if rate > 0:
            if not len(cells[cell]):
                raise ValueError(
                    f"subsample: expected rows of domain {cell[0]} with label "
                    f"{cell[1]}; got none."
                )
            sizes.append(len(cells[cell]) / rate)
    return int(np.floor(min(sizes) + 1e-9))


def group_split(groups: np.ndarray, shares: Mapping[str, float], seed: int) -> Mapping:
    """{name: ascending rows}: whole groups, such as slides, go to one part each.

    Groups are shuffled, and each goes to the part whose rows lag most behind its share.

    Args:
      groups: [rows] int.
      shares: {name: share of the rows}, which sum to 1.
      seed: of the order.
    """
    checks.integers("group_split", groups=groups)
    names = list(shares)
    found, members = np.unique(groups, return_inverse=True)
    counts = np.bincount(members)
    wanted = np.array([shares[name] for name in names]) * len(groups)
    part_of, filled = np.empty(len(found), int), np.zeros(len(names))
    for group in np.random.default_rng((seed, 1)).permutation(len(found)):
        part = np.argmax((wanted - filled) / np.maximum(wanted, 1e-9))
        part_of[group], filled[part] = part, filled[part] + counts[group]
    return {n: np.flatnonzero(part_of[members] == i) for i, n in enumerate(names)}


def by_lift(domains: np.ndarray, labels: np.ndarray, num_labels: int) -> tuple:
    """An assignment of each label to the domain where it is most over-represented.

    lift(d, y) = P(y | d) / P(y), taken in descending order; a domain that has its share
    of labels, rounded up, gets no more. A tuple of labels for each domain, which is
    empty for some if there are fewer labels than domains.

    Raises:
      ValueError: a label out of range, or a negative domain. TypeError: no integers.
    """
    _check_classes("by_lift", num_labels, labels=labels)
    _check_classes("by_lift", max(int(np.max(domains)) + 1, 0), domains=domains)
    num_domains = int(domains.max()) + 1
    table = np.zeros((num_domains, num_labels))
    np.add.at(table, (domains, labels), 1.0)
    of_label = np.maximum(table.sum(axis=0, keepdims=True) / table.sum(), 1e-12)
    lift = table / np.maximum(table.sum(axis=1, keepdims=True), 1) / of_label
    room, assigned = -(-num_labels // num_domains), [[] for _ in range(num_domains)]
    left = set(range(num_labels))
    for flat in np.argsort(-lift, axis=None, kind="stable"):
        d, y = divmod(int(flat), num_labels)
        if y in left and len(assigned[d]) < room:
            assigned[d].append(y)
            left.remove(y)
    return tuple(tuple(sorted(ys)) for ys in assigned)


def split_rows(
    num_examples: Mapping[str, int], total: int, seed: int
) -> Mapping[str, np.ndarray]:
    """{split: rows}: parts of one permutation of 0 to total - 1, of these sizes.

    Raises:
      ValueError: together they are more than there are.
    """
    checks.count("split_rows", **num_examples)
    if sum(num_examples.values()) > total:
        raise ValueError(
            f"split_rows: expected at most {total} examples; got {dict(num_examples)}."
        )
    order = np.random.default_rng((seed, 2)).permutation(total)
    ends = np.cumsum([0, *num_examples.values()])
    return {n: order[a:b] for n, a, b in zip(num_examples, ends, ends[1:])}


def drawn_cells(
    rows: np.ndarray, rates: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Domains and labels [batch] int32 of examples, drawn with the rates of cells.

    rows: [batch] int, numbers of the examples. rates: [domain, label] of `cell_rates`.
    """
    draws = uniform(seed, CELL_STREAM, rows, 1)[:, 0]
    ends = np.cumsum(rates.reshape(-1))
    cells = np.searchsorted(ends, draws * ends[-1], side="right")
    domains, labels = np.divmod(cells, rates.shape[1])
    return domains.astype(np.int32), labels.astype(np.int32)


def of_drawings(
    who: str,
    draw: Callable,
    *,
    assignment: Mapping[int, Sequence[int]],
    num_labels: int,
    shift: Shift,
    num_examples: Mapping[str, int],
    held_out: Mapping[str, int],
    seed: int,
) -> Dataset:
    """A dataset of images drawn on the device, whose domains and labels correlate.

    Batches are those of the module; "spurious" is the domain.

    Args:
      who: the function that makes it, for errors.
      draw: (keys [batch], labels [batch], domains [batch]) -> images.
      assignment: {domain: labels that go with it}, see `cell_rates`.
      num_labels: labels are in [0, num_labels).
      shift: r in [0, 1], and the seed of cells and of drawings.
      num_examples: of each of SPLITS.
      held_out: {split: domain} of further splits, whose labels are equally frequent and
        which are as large as "ood_test".
      seed: of the order of training.
    """
    check_shift(who, shift, 2)
    num_examples = dict(num_examples)
    num_examples |= {split: num_examples["ood_test"] for split in held_out}
    checks.count(who, **num_examples)
    known = np.array(sorted(assignment), np.int32)
    labels_of = [assignment[domain] for domain in known.tolist()]
    rates = {s: cell_rates(labels_of, num_labels, shift.of(s)) for s in num_examples}
    ends = np.cumsum([0, *num_examples.values()])
    first = dict(zip(num_examples, ends.tolist()))

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        index = first[split] + rows
        domains, labels = drawn_cells(index, rates[split], shift.seed)
        domains = known[domains]
        if split in held_out:
            draws = uniform(shift.seed, CELL_STREAM, index, 2)[:, 1]
            labels = (draws * num_labels).astype(np.int32)
            domains = np.full(len(rows), held_out[split], np.int32)
        return {
            "label": labels,
            "spurious": domains,
            "domain": domains,
            "index": index.astype(np.int32),
        }

    prepare = functools.partial(_drawn, draw=draw, seed=int(shift.seed))
    return of_rows(who, take, num_examples, seed=seed, prepare=prepare)


def _drawn(batch: Mapping, *, draw: Callable, seed: int) -> dict:
    """The batch with its images, each of a key of its own."""
    base = jax.random.key(seed)
    keys = jax.vmap(lambda n: jax.random.fold_in(base, n))(batch["index"])
    return {**batch, "image": draw(keys, batch["label"], batch["domain"])}
