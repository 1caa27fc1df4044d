"""Several datasets in one batch: labeled and unlabeled, retain and forget, and so on.

    config.dataset = dict(
        fn=streams.together,
        streams=dict(
            labeled=dict(fn=arrays.load, data="labeled.npz"),
            unlabeled=dict(fn=arrays.load, data="unlabeled.npz", label=None, seed=1),
        ),
        ratios=dict(labeled=1, unlabeled=7),
        evaluated="labeled",
    )

A training batch is then {"labeled": {"image": ...}, "unlabeled": {"image": ...}}, and a
loss asks for `batch["unlabeled"]["image"]`. Evaluation is of one stream, whose batches
are as if it were alone, so that evaluators need not know of the others.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from repr_jax.data.dataset import Dataset, check_evaluate, check_train, resolve
from repr_jax.ops import checks


def together(
    *,
    streams: Mapping[str, Dataset | Callable],
    evaluated: str,
    ratios: Mapping[str, int] | None = None,
) -> Dataset:
    """A dataset whose training batches have a part for each of several datasets.

    Training batch n depends on n and the seeds of the streams alone; streams that draw
    from the same rows should have different seeds, or else the same order.

    Args:
      streams: by name, datasets or functions without arguments that make one; in a
        config dict(fn=...) each.
      evaluated: the stream that `evaluate`, `num_examples` and `modalities` are of.
      ratios: rows of a stream in a training batch for each of `batch_size`, whole
        numbers; 1 for those not named. With {"labeled": 1, "unlabeled": 7} and a
        batch_size of 64, a batch has 64 labeled and 448 unlabeled rows.

    Returns:
      A Dataset. `prepare` applies each stream's own to its part, and to a batch of
      `evaluate` that of the evaluated stream. `fixed` has those of all streams.

    Raises:
      ValueError, TypeError: no stream, an unknown name, a ratio below 1, a stream that
        is not a dataset, or two streams with one name in `fixed`.
    """
    who = "streams.together"
    ratios = {} if ratios is None else dict(ratios)
    _check(who, streams, evaluated, ratios)
    parts = {name: resolve(who, f"stream {name}", x) for name, x in streams.items()}
    chosen = parts[evaluated]

    def train(batch_size: int, start_step: int = 0) -> Iterator[dict]:
        check_train(who, batch_size, start_step)
        batches = [
            part.train(batch_size * ratios.get(name, 1), start_step=start_step)
            for name, part in parts.items()
        ]
        return (dict(zip(parts, rows)) for rows in zip(*batches))

    def evaluate(split: str, batch_size: int) -> Iterator[dict]:
        check_evaluate(who, split, batch_size)
        return chosen.evaluate(split, batch_size)

    def prepare(batch: Mapping) -> dict:
        if set(batch) == set(parts) and all(
            isinstance(x, Mapping) for x in batch.values()
        ):
            return {name: parts[name].prepare(rows) for name, rows in batch.items()}
        return chosen.prepare(batch)

    return Dataset(
        train,
        evaluate,
        prepare,
        chosen.num_examples,
        chosen.modalities,
        _all_fixed(who, parts),
    )


def _check(who: str, streams: Any, evaluated: str, ratios: Mapping[str, int]) -> None:
    if not isinstance(streams, Mapping) or not streams:
        raise ValueError(f"{who}: expected streams by name; got {streams!r}.")
    checks.one_of(who, tuple(streams), evaluated=evaluated)
    for name, ratio in ratios.items():
        checks.one_of(who, tuple(streams), **{"name in ratios": name})
        checks.count(who, **{f"ratios.{name}": ratio})


def _all_fixed(who: str, parts: Mapping[str, Dataset]) -> dict:
    """The fixed entries of all streams, which prepared batches have beside them."""
    found = {}
    for name, part in parts.items():
        for entry, array in part.fixed.items():
            if entry in parts or (entry in found and found[entry] is not array):
                raise ValueError(
                    f"{who}: expected fixed entries of different names; got {entry} of "
                    f"stream {name}, which another stream has, or is called."
                )
            found[entry] = array
    return found
