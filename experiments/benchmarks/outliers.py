"""Scores of outliers side by side on features of any network.

  python -m experiments.benchmarks.outliers --data=FEATURES.npz --workdir=DIR

FEATURES.npz holds, of the layer before the last one,
  train            [rows, dim] float, features of training rows,
  train_label      [rows] whole numbers from 0, their classes,
  test             [rows, dim], of rows like those of training,
  outliers_NAME    [rows, dim], of rows that are not, any number of such sets,
  weights, bias    [classes, dim] and [classes], of the last layer; without them, those
                   of a logistic regression of train_label.
Every score is fitted to `train` and asked about `test` and each set of outliers. Writes
DIR/outliers.json and .md, a table and a picture of AUROC, average precision and the
false positive rate at which 95 % of the outliers are found; and DIR/scores.npz, the
scores behind them.
"""

import io
import pathlib
import sys

import numpy as np

from experiments.arguments import one_line_errors, parser_of, writable_folder
from experiments.results import store
from experiments.results.tables import Number, Table
from repr_jax import figures, files
from repr_jax.estimators import logistic
from repr_jax.evaluators import outliers, post_hoc
from repr_jax.ops import checks

WHO, PREFIX = "outliers", "outliers_"
LARGEST = 2**20  # classes


def read(path) -> dict[str, np.ndarray]:
    """The arrays of a file, floats in float32, checked against one another.

    Raises:
      FileNotFoundError: there is none. ValueError, TypeError: it is not as above.
    """
    found = files.read_npz(WHO, path)
    sets = [name for name in found if name.startswith(PREFIX)]
    missing = [n for n in ("train", "train_label", "test") if n not in found]
    if missing or not sets or ("weights" in found) != ("bias" in found):
        raise ValueError(
            f"{WHO}: expected train, train_label, test, {PREFIX}NAME, and weights and "
            f"bias together or not at all; {path} has {', '.join(found)}."
        )
    dim = found["train"].shape[-1] if found["train"].ndim else 0
    for name in ("train", "test", *sets):
        x = found[name]
        if x.ndim != 2 or x.shape[1] != dim or not len(x):
            raise ValueError(
                f"{WHO}: expected {name} of shape [rows, {dim}]; got {x.shape}."
            )
        if not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"{WHO}: expected {name} of floats; got {x.dtype}.")
        found[name] = x.astype(np.float32)
        checks.finite(WHO, **{name: found[name]})
    label = found["train_label"]
    if not np.issubdtype(label.dtype, np.integer) or label.shape != (
        len(found["train"]),
    ):
        raise ValueError(
            f"{WHO}: expected train_label, [{len(found['train'])}] whole numbers; got "
            f"{label.dtype} {label.shape}."
        )
    checks.within(WHO, LARGEST, train_label=label)
    found["train_label"] = label.astype(np.int32)
    return found


def head(data) -> tuple[np.ndarray, np.ndarray]:
    """[classes, dim] weights and [classes] bias, fitted where the file has none."""
    if "weights" in data:
        return data["weights"].astype(np.float32), data["bias"].astype(np.float32)
    labels = data["train_label"]
    fitted = logistic.fit(data["train"], labels, num_classes=int(labels.max()) + 1)
    return np.asarray(fitted.weights).T, np.asarray(fitted.bias)


def compare(data) -> tuple[dict, dict]:
    """{set: {score: figures}}, and {"SET/SCORE": scores} of rows, test rows first.

    Test rows are asked about with each set, since ECOD compares all rows of a call.
    """
    scores = post_hoc.fit(data["train"], data["train_label"], *head(data))
    found, kept = {}, {}
    for key in [name for name in data if name.startswith(PREFIX)]:
        title = key.removeprefix(PREFIX)
        rows = np.concatenate([data["test"], data[key]])
        outlier = np.arange(len(rows)) >= len(data["test"])
        values = {name: np.asarray(score(rows)) for name, score in scores.items()}
        found[title] = {
            name: outliers.detection(x, outlier) for name, x in values.items()
        }
        kept |= {f"{title}/{name}": x for name, x in values.items()}
    return found, kept


def table(title: str, rows: dict) -> Table:
    """A set of outliers: a line a score, the best figure of a column in bold."""
    values = np.array([list(found.values()) for found in rows.values()])
    best = [*values[:, :-1].argmax(axis=0), values[:, -1].argmin()]
    lines = [
        [name, *(Number(x, best=bool(best[c] == r)) for c, x in enumerate(row))]
        for r, (name, row) in enumerate(zip(rows, values.tolist()))
    ]
    return Table(("score", *outliers.COLUMNS), lines, title=f"Outliers: {title}")


def main(arguments=None) -> int:
    """Compares, then writes and prints the results; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = parser_of("experiments.benchmarks.outliers", __doc__)
    parser.add_argument("--data", required=True, help="an .npz file, as above")
    parser.add_argument("--workdir", required=True, type=writable_folder)
    args = parser.parse_args(arguments)
    with one_line_errors(parser):
        found, scores = compare(read(args.data))
    folder, file = pathlib.Path(args.workdir), io.BytesIO()
    np.savez(file, **scores)
    files.write(folder / "scores.npz", file.getvalue())
    drawn = {
        title: {name: row["auroc"] for name, row in rows.items()}
        for title, rows in found.items()
    }
    picture = store.picture(
        folder, "outliers.png", "AUROC of every score", figures.dots(drawn, "AUROC")
    )
    tables = [table(*pair) for pair in found.items()]
    text = store.write(
        folder / "outliers.json",
        title="Scores of outliers on the same features",
        command=store.command_line("experiments.benchmarks.outliers", arguments),
        seeds=[0],
        content=[f"{outliers.NOTE} Best in bold.", *tables, picture],
    )
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
