"""How near generated modalities are to the real ones, of what is given and of others.

Targets are the arrays of a prepared batch; z is drawn from the posterior of what is
given, and generated are the means of the decoders.
"""

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax import metrics
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    batches,
    mean_by_views,
    needs,
    rows_with,
    subsets,
    views,
    with_present,
)
from repr_jax.metrics.images import WINDOW

ABOUT = (
    "{} of modalities that were generated from the given ones, z drawn from their "
    "posterior, a column a target. A target that was given is a reconstruction. "
    "chance: the mean training example in place of all."
)
KINDS = {
    "mse": "Squared error, the mean over the elements, lower is better,",
    "ssim": "Structural similarity, 1 is equal and 0 unrelated,",
}


@jax.jit
def compare(made, real):
    """{kind: [batch]}; SSIM of images, clipped to [0, 1] as they are looked at.

    made: as real, or one example for all.
    """
    made = jnp.broadcast_to(made if made.ndim == real.ndim else made[None], real.shape)
    found = {"mse": metrics.mean_squared_error(made, real)}
    if real.ndim == 4 and min(real.shape[1:3]) >= WINDOW:
        found["ssim"] = metrics.ssim(*(jnp.clip(x, 0, 1) for x in (made, real)))
    return found


def means_of(trained, dataset, names, *, batch_size, limit) -> dict[str, np.ndarray]:
    """{name: the mean of training rows that have it}; zeros if none has."""
    totals, counts = {}, dict.fromkeys(names, 0)
    for batch in batches(dataset, "train", batch_size, limit=limit):
        prepared = trained.prepare(batch)
        for name in names:
            rows = rows_with(batch, alone_of(trained.modalities, name))
            x = np.asarray(prepared[name], np.float64)[rows]
            totals[name] = totals.get(name, 0) + np.sum(x, axis=0)
            counts[name] += len(x)
    return {n: np.float32(totals[n] / max(counts[n], 1)) for n in names}


def alone_of(names, name):
    """bool [modality] of the one; None of a model of one input."""
    return np.array([name == other for other in names]) if names else None


@needs("generate")
def evaluate(
    trained,
    dataset,
    *,
    batch_size: int = 256,
    limit: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Mean squared error and structural similarity, by what is given and by target.

    Args:
      trained: Trained, with a `generate` that gives {name: array} of entries of a
        prepared batch, floats; images [batch, height, width, channels] in [0, 1].
      dataset: Dataset.
      batch_size: rows at a time.
      limit: number of random rows of either split to use; None for all.
      seed: of z.

    Returns:
      "mse/m0+m1->m2", "mse/self/m0+m1->m0" of reconstructions, >= 0, lower is better,
      of the rows that have what is given and the target; means over the subsets of a
      size and their targets "mse/1_view", "mse/self/1_view"; "ssim/...", at most 1, of
      images of sides of 11 or more. Of a model with one input "mse/self/image". Chance:
      the mean training example in place of all.

    Raises:
      ValueError: nothing is generated that a batch has, or no row has any modality.
    """
    names, key = trained.modalities, jax.random.key(seed)
    asked, typical = subsets(names) or {"": None}, None
    found, chance = {}, {}
    for n, batch in enumerate(batches(dataset, "test", batch_size, limit=limit)):
        prepared, plain = trained.prepare(batch), {}
        for s, (given, subset) in enumerate(asked.items()):
            if not np.any(rows_with(batch, subset)):
                continue
            own_key = jax.random.fold_in(jax.random.fold_in(key, s), n)
            own = batch if subset is None else with_present(batch, subset)
            made = trained.outputs["generate"](own, own_key)
            if typical is None:
                known = [name for name in made if name in prepared]
                options = dict(batch_size=batch_size, limit=limit)
                typical = means_of(trained, dataset, known, **options)
            for name, mean in typical.items():
                real, alone = prepared[name], alone_of(names, name)
                rows = rows_with(batch, None if subset is None else subset | alone)
                plain[name] = plain.get(name) or compare(mean, real)
                for kept, values in (
                    (found, compare(made[name], real)),
                    (chance, plain[name]),
                ):
                    for kind, value in values.items():
                        parts = kept.setdefault((kind, given, name), [])
                        parts.append(np.asarray(value, np.float64)[rows])
    if not found:
        raise ValueError(
            "reconstruction: expected test rows with what is generated; got none."
        )
    return summary(names, *(averaged(values) for values in (found, chance)))


def averaged(values) -> dict[tuple, float]:
    """{(kind, given, target): mean over all rows}, without those of no row."""
    joined = {name: np.concatenate(parts) for name, parts in values.items()}
    return {name: float(np.mean(x)) for name, x in joined.items() if len(x)}


def summary(names, found, chance) -> Evaluation:
    """found, chance: {(kind, given, target): value}."""
    targets = list(dict.fromkeys(target for _, _, target in found))
    tables = []
    for kind in KINDS:
        own = {key[1:]: value for key, value in found.items() if key[0] == kind}
        if not own:
            continue
        level = {t: chance[kind, given, t] for given, t in own}
        rows = [
            (given or "all", *(own.get((given, target)) for target in targets))
            for given in dict.fromkeys(given for given, _ in own)
        ]
        rows.append(("chance", *(level.get(target) for target in targets)))
        header = ("given", *(f"\u2192 {target}" for target in targets))
        title = f"Reconstruction: {kind.upper()}"
        tables.append(Table(title, ABOUT.format(KINDS[kind]), header, rows))
    numbers, level = (flat(values) for values in (found, chance))
    last = f"mse/self/{views(len(names))}" if names else f"mse/self/{targets[0]}"
    return Evaluation(numbers, {}, tables, level, ("mse/1_view", last))


def flat(values) -> dict[str, float]:
    """{(kind, given, target): value} as "mse/m0->m1", and means by size of subsets."""
    groups = {}
    for (kind, given, target), value in values.items():
        inside = not given or target in given.split("+")
        name = f"{given}->{target}" if given else target
        groups.setdefault(f"{kind}/self/" if inside else f"{kind}/", {})[name] = value
    several = any(given for _, given, _ in values)
    return {
        f"{prefix}{name}": value
        for prefix, group in groups.items()
        for name, value in (group | (mean_by_views(group) if several else {})).items()
    }
