"""What a model generates, to look at: from everything, from one view, from nothing."""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from repr_jax import figures
from repr_jax.evaluators.common import (
    Evaluation,
    Picture,
    Table,
    batches,
    examples,
    labels_of,
    needs,
    rows_with,
    with_present,
)

REBUILT = (
    "Originals and reconstructions",
    "Real test images, marked in orange, each above what the model makes of it when it "
    "is given everything that is known. Look for what gets lost: backgrounds that "
    "average out, strokes that move towards a typical shape.",
)
FROM_ONE = (
    "Generated from one view",
    "Each block starts with the one view that the model was given, real test images "
    "marked in orange; below it are the other views that the model drew from it. Look "
    "down a column: what the views share should stay the same, while the rest is free.",
)
VARIETY = (
    "Several draws from one view",
    "Each block starts with the one view that the model was given, real test images "
    "marked in orange; below it is another view, drawn several times. Look down a "
    "column: what the views share should stay the same, the rest should vary as it "
    "does among real ones.",
)
FROM_OTHERS = (
    "Generated from what is no image",
    "Below real images of test rows, marked in orange, what the model makes of another "
    "modality of theirs alone; texts are in the table, a line for each column. What "
    "the two share should be the same.",
)
TEXTS = (
    "Of test rows, and what the model writes about them when it is given one view "
    "alone. The last lines are drawn from the prior, as the picture of it."
)
FROM_NOTHING = (
    "Samples from the prior",
    "Nothing was given; one random latent a column, decoded into every view. Look for "
    "images that could be real, and for views of a column that agree.",
)


@needs("generate")
def evaluate(
    trained,
    dataset,
    *,
    read: Mapping[str, Callable] | None = None,
    num_examples: int = 10,
    num_random: int = 12,
    num_draws: int = 4,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """Draws reconstructions, what follows from one modality, and samples of the prior.

    Args:
      trained: Trained, with a `generate` that gives {name: array}; images [batch,
        height, width, 1 or 3] by the name of an entry of the batch are drawn.
      dataset: Dataset; examples are of as many classes as may be, if it has a `label`.
      read: by modality of text, its arrays [rows, ...] -> a text for each row, such as
        `characters.texts`; None if there is none.
      num_examples: test examples in a picture, of those that have what is given.
      num_random, num_draws: samples of the prior, at most batch_size; draws of the next
        modality from each one.
      batch_size, seed: random rows that examples are of; of the samples of z.

    Returns:
      Pictures "reconstructions", "conditional" and "variety" of several modalities, and
      "unconditional"; none of a model that generates no images. Of modalities that
      are no images "from_others"; with `read` their tables. No numbers.
    """
    batch = next(batches(dataset, "test", batch_size, limit=batch_size))
    ask, prepared = asking(trained, batch, seed), trained.prepare(batch)
    every = np.ones(max(len(trained.modalities), 1), bool)
    rebuilt = ask(0, every)
    names = [name for name, x in rebuilt.items() if x.ndim == 4 and name in prepared]
    sizes = dict(num_examples=num_examples, num_draws=num_draws)
    given_all, between, variety = of_images(
        trained, batch, prepared, rebuilt, names, ask, **sizes
    )
    free = ask(len(names) + 1, ~every)
    of_prior = [figures.Row(name, free[name][:num_random]) for name in names]
    drawn = {
        "conditional": (FROM_ONE, between),
        "reconstructions": (REBUILT, given_all),
        "unconditional": (FROM_NOTHING, [of_prior] if names else []),
        "variety": (VARIETY, variety),
    }
    read = read or {}
    new = {name: words(free[name][:num_random]) for name, words in read.items()}
    options = dict(num_examples=num_examples, seed=seed)
    tables, blocks = of_no_images(trained, batch, names, read, new, **options)
    drawn["from_others"] = FROM_OTHERS, blocks
    mosaics = {n: Picture(*t, figures.mosaic(x)) for n, (t, x) in drawn.items() if x}
    return Evaluation({}, mosaics, tuple(tables))


def of_images(
    trained, batch, prepared, rebuilt, names, ask, *, num_examples, num_draws
):
    """Blocks of mosaics, one a view: rebuilt; others from it; draws of the next."""
    given_all, between, variety = [], [], []
    for m, name in enumerate(names):
        alone = np.array([name == n for n in trained.modalities] or [True])
        has_it = rows_with(batch, alone if trained.modalities else None)
        rows = examples(labels_of(batch, prepared), has_it, num_examples)
        if not len(rows):
            continue
        real = np.asarray(prepared[name])[rows]
        real = figures.Row(f"{name} given", real, given=True)
        given_all.append([real, figures.Row(f"{name} rebuilt", rebuilt[name][rows])])
        if len(names) > 1:
            given = real._replace(label=f"from {name}")
            others, again = from_one(ask, alone, names, m, rows, num_draws)
            between.append([given, *others])
            variety.append([given, *again])
    return given_all, between, variety


def of_no_images(trained, batch, images, read, new, *, num_examples, seed):
    """Tables of what is read, and blocks of a mosaic, of modalities that are no images.

    new: {name: texts of the prior}; the rest as of `of_no_image`.
    """
    tables, blocks, names = [], [], trained.modalities
    options = dict(num_examples=num_examples, seed=seed)
    for name in (name for name in names if name not in images):
        words = read.get(name)
        block, lines = of_no_image(trained, batch, name, images, words, **options)
        blocks += [block] if block else []
        if words:
            lines += [("new", text, *[None] * len(names)) for text in new[name]]
            header = ("column", name, *(f"from {n}" for n in names))
            tables.append(Table(f"Texts: {name}", TEXTS, header, lines))
    return tables, blocks


def of_no_image(trained, batch, name, images, read, *, num_examples, seed):
    """Images made of a modality that is none, rows of a mosaic; lines of its table.

    Examples have it and the images, if some do, which are drawn too. Without `read`, as
    of `evaluate` for this modality, there are no lines.
    """
    prepared, names = trained.prepare(batch), trained.modalities
    alone = dict(zip(names, np.eye(len(names), dtype=bool)))
    whole = alone[name] | np.isin(names, images)
    complete = np.any(rows_with(batch, whole))
    has_it = rows_with(batch, whole if complete else alone[name])
    rows = examples(labels_of(batch, prepared), has_it, num_examples)
    ask, first = asking(trained, batch, seed), 2**16 * (1 + names.index(name))
    made = {name: ask(first, alone[name])}
    block = []
    for n in images if len(rows) else ():
        real = np.asarray(prepared[n])[rows]
        block += [figures.Row(f"{n}, real", real, given=True)] if complete else []
        block.append(figures.Row(f"from {name}", made[name][n][rows]))
    if read is None:
        return block, []
    columns = [read(np.asarray(prepared[name])[rows])]
    for m, (other, row) in enumerate(alone.items()):
        views = made.get(other) or ask(first + 1 + m, row)
        written, known = read(views[name][rows]), rows_with(batch, row)[rows]
        columns.append([t if k else None for t, k in zip(written, known)])
    return block, [(str(n + 1), *line) for n, line in enumerate(zip(*columns))]


def from_one(ask, alone, names, m, rows, num_draws):
    """Rows of a mosaic: all other views of the first draw, the next view of all draws.

    ask: as `asking` gives, for what follows from view number m `alone`.
    """
    first = len(names) + 1 + m * num_draws
    requests = [m + 1, *range(first + 1, first + num_draws)]
    drawn = [ask(request, alone) for request in requests]
    others = [*names[m + 1 :], *names[:m]]
    return tuple(
        [figures.Row(f"to {name}", images[name][rows]) for name, images in pairs]
        for pairs in (
            [(name, drawn[0]) for name in names if name in others],
            [(others[0], images) for images in drawn],
        )
    )


def asking(trained, batch, seed):
    """(number of the request, bool [modality] or [1]) -> {name: array}, generated."""
    key = jax.random.key(seed)

    def ask(number, subset):
        asked = with_present(batch, subset) if trained.modalities else dict(batch)
        if not np.any(subset):  # nothing given: no modality, or else no row
            asked["where"] = np.full_like(batch["where"], bool(trained.modalities))
        own_key = jax.random.fold_in(key, number)
        images = trained.outputs["generate"](asked, own_key)
        return {name: np.asarray(value) for name, value in images.items()}

    return ask
