"""How alike the layers of trained runs are: linear CKA of every two of them.

  python -m experiments.launch.similarity RUN RUN ... --out=DIR

RUN is the workdir of a run with the output `represent`. All runs are shown the same
test rows, those of the data of the first, so that runs of other methods, seeds and
training data can be compared if their images have one shape. Of one run its layers are
compared with each other. Writes DIR/similarity.json, .md and .csv, and a picture.

Layers are modules by their names in the network; --layers is a regular expression of
them, which has to fit the whole name. Of images and tokens the mean over positions is
compared; Kornblith et al. take all positions as dimensions, of which there would have
to be far fewer than rows.

Source: Kornblith et al., "Similarity of Neural Network Representations Revisited",
  2019, https://arxiv.org/abs/1905.00414.
"""

import os
import pathlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.arguments import at_least, parser_of, writable_folder
from experiments.results import store, tables
from repr_jax import figures, metrics, run
from repr_jax.evaluators.common import batches
from repr_jax.experiment import Fit, to_evaluate
from repr_jax.workdir import records

LAYERS = r"(encoder/)?(vit/)?[^/]+"  # parts of the encoder, and of the whole
REPRESENTATION = "representation"
ABOUT = (
    "Linear CKA of {rows} test rows of {first}: 1 is equal up to rotation, scale and "
    "shift, 0 has nothing in common. Of images and tokens the mean over positions."
)


def layers_of(represent: Callable, pattern: str = LAYERS) -> Callable:
    """What modules return on the way to a representation, and that itself.

    Args:
      represent: (params, extras, batch, key) -> [batch, dim], an experiment's output.
      pattern: a regular expression that fits whole names such as "encoder/Conv_0".

    Returns:
      a function of the same arguments -> {name: [batch, dim] float32} in the order of
      computation, "representation" last. Outputs that are no array are left out.
    """
    wanted = re.compile(pattern)

    def apply(params, extras, batch, key):
        found = {}

        def keep(call, arguments, keywords, context):
            result = call(*arguments, **keywords)
            name = "/".join(context.module.path)
            one = context.method_name == "__call__" and isinstance(result, jax.Array)
            if one and result.ndim >= 2 and wanted.fullmatch(name):
                found[name] = result
            return result

        with nn.intercept_methods(keep):
            last = represent(params, extras, batch, key)
        return {n: _pooled(x) for n, x in {**found, REPRESENTATION: last}.items()}

    return apply


def _pooled(x):
    """[batch, ..., dim] -> [batch, dim] float32, the mean over what is between."""
    return jnp.mean(x.reshape(len(x), -1, x.shape[-1]).astype(jnp.float32), axis=1)


def collect(workdirs: Sequence, *, rows: int, pattern: str = LAYERS) -> dict:
    """{(run, layer): [rows, dim]} of the same test rows; runs by the ends of paths.

    Raises:
      FileNotFoundError: there is no run, or it has no checkpoint.
      ValueError: a run without `represent`, an estimator, or images that it cannot
        take.
    """
    found, prepared = {}, None
    for name, workdir in zip(names_of(workdirs), workdirs):
        config = records.stored_config(workdir)
        parts = run.build(config)
        output = parts.experiment.outputs.get("represent")
        if isinstance(parts.experiment, Fit) or output is None:
            raise ValueError(f"{workdir}: expected a network with `represent`.")
        if prepared is None:
            prepare = jax.jit(parts.dataset.prepare)
            prepared = [
                {**prepare(batch), **parts.dataset.fixed}
                for batch in batches(parts.dataset, "test", 256, limit=rows)
            ]
        state = to_evaluate(run.restore(config, parts, workdir))
        some = _rows_of(layers_of(output, pattern), *state, prepared)
        found |= {(name, layer): x for layer, x in some.items()}
    return found


def _rows_of(layers: Callable, params, extras, prepared: Sequence) -> dict:
    """{layer: [rows, dim]} of the rows that are present, in the order of layers."""
    order = {}  # jit sorts by name

    def apply(*arguments):
        found = layers(*arguments)
        order.update(dict.fromkeys(found))
        return found

    apply, key = jax.jit(apply), jax.random.key(0)
    some = [(apply(params, extras, b, key), np.asarray(b["where"])) for b in prepared]
    return {
        name: np.concatenate([np.asarray(x[name])[where] for x, where in some])
        for name in order
    }


def names_of(workdirs: Sequence) -> list[str]:
    """The ends of paths, where they differ.

    Raises:
      ValueError: one is given twice.
    """
    paths = [os.path.abspath(os.path.expanduser(w)) for w in map(str, workdirs)]
    if len(set(paths)) < len(paths):
        raise ValueError("similarity: expected different runs; got one twice.")
    if len(paths) == 1:
        return [os.path.basename(paths[0])]
    return [os.path.relpath(path, os.path.commonpath(paths)) for path in paths]


def matrix(layers: Mapping) -> np.ndarray:
    """[layer, layer] linear CKA of every two, in [0, 1]; 1 on the diagonal.

    NaN off it beside a layer that does not vary.
    """
    values = list(layers.values())
    found = np.eye(len(values))
    for i, x in enumerate(values):
        for j in range(i):
            found[i, j] = found[j, i] = metrics.linear_cka(x, values[j])
    return found


def draw(layers: Mapping, found: np.ndarray) -> bytes:
    """The matrix, dark where layers are alike, with lines between runs."""
    from matplotlib.figure import Figure

    side = max(4.0, 1.5 + 0.2 * len(found))
    size = (side + 2.0, side + 1.0)
    figure = Figure(figsize=size, dpi=figures.DPI, layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(found, vmin=0, vmax=1, cmap="Blues")
    several = len({name for name, _ in layers}) > 1
    labels = [": ".join(pair) if several else pair[1] for pair in layers]
    axis.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
    axis.set_yticks(range(len(labels)), labels, fontsize=7)
    runs = [name for name, _ in layers]
    for place in range(1, len(runs)):
        if runs[place] != runs[place - 1]:
            for line in (axis.axhline, axis.axvline):
                line(place - 0.5, color=figures.GIVEN, linewidth=1)
    figure.colorbar(image, label="linear CKA", shrink=0.6)
    return figures.png(figure)


def write(out, layers: Mapping, workdirs: Sequence, command: str) -> str:
    """The files; returns the markdown."""
    found, out = matrix(layers), pathlib.Path(out)
    last = [i for i, (_, layer) in enumerate(layers) if layer == REPRESENTATION]
    runs = [list(layers)[i][0] for i in last]
    table = tables.Table(
        ("representation of", *runs),
        [(name, *map(float, found[i, last])) for name, i in zip(runs, last)],
    )
    rows = len(next(iter(layers.values())))
    picture = store.picture(
        out,
        "pictures/similarity.png",
        "linear CKA of every two layers, of each run from its first to its last",
        draw(layers, found),
    )
    lines = [
        (*one, *other, float(found[i, j]))
        for i, one in enumerate(layers)
        for j, other in enumerate(layers)
        if j <= i
    ]
    header = ("run", "layer", "other run", "other layer", "cka")
    store.write_csv(out / "similarity.csv", header, lines)
    return store.write(
        out / "similarity.json",
        title="How alike layers are",
        command=command,
        seeds=sorted({records.stored_config(w).seed for w in workdirs}),
        content=[ABOUT.format(rows=rows, first=runs[0]), table, picture],
        workdirs=workdirs,
    )


def main(arguments=None) -> int:
    """Compares the runs, writes and prints the table; the exit code."""
    parser = parser_of("experiments.launch.similarity", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdirs of runs")
    parser.add_argument("--out", type=writable_folder, required=True, metavar="DIR")
    parser.add_argument("--rows", type=at_least(2), default=2_000, help="test rows")
    parser.add_argument("--layers", default=LAYERS, help="a regular expression")
    asked = parser.parse_args(arguments)
    try:
        layers = collect(asked.runs, rows=asked.rows, pattern=asked.layers)
        flags = [f"--rows={asked.rows}", f"--layers={asked.layers}"]
        command = store.command_line(
            "experiments.launch.similarity", [*names_of(asked.runs), *flags]
        )
        text = write(asked.out, layers, asked.runs, command)
    except (ValueError, OSError, re.error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{text}\nresults: {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
