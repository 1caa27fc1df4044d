"""Scores of outliers side by side on features of any networks.

  python -m experiments.benchmarks.outliers --data FEATURES.npz ... --workdir=DIR
  python -m experiments.benchmarks.outliers --digits --seeds=3 --workdir=DIR

A file of FEATURES.npz, one for each network or seed, holds, of the layer before the
last one,
  train            [rows, dim] float, features of training rows,
  train_label      [rows] whole numbers from 0, their classes,
  test             [rows, dim], of rows like those of training,
  outliers_NAME    [rows, dim], of rows that are not, any number of such sets,
  weights, bias    [classes, dim] and [classes], of the last layer; without them, those
                   of a logistic regression of train_label,
  test_label       [rows], if there, for the accuracy,
  score_X_of_test, score_X_of_NAME  [rows] float, if there, of a score X that needs more
                   than features, such as ODIN; higher for what is more of an outlier.
Every score is fitted to `train` and asked about `test` and each set of outliers. Writes
DIR/outliers.json and .md, a table and a picture of AUROC, average precision and the
false positive rate at which 95 % of the outliers are found, mean and standard deviation
over the files; and DIR/scores_N.npz, the scores behind file N, from 0.

With --digits the files are made and kept in DIR: networks that know the digits 0 to 7.
--data_dir is a folder that may have all of MNIST, prepared by tensorflow-datasets, and
emoji.npz of `experiments.make_emoji`; without it, digits are those in the package.
"""

import pathlib
import sys
from collections.abc import Sequence

import numpy as np

from experiments.arguments import one_line_errors
from experiments.benchmarks import arrays, digits
from experiments.results import store
from experiments.results.tables import Table, cell, over_seeds
from repr_jax import figures, files
from repr_jax.estimators import logistic
from repr_jax.evaluators import outliers, post_hoc
from repr_jax.ops import checks

WHO, PREFIX = "outliers", "outliers_"
OWN, OF = "score_", "_of_"
MODULE = "experiments.benchmarks.outliers"
LARGEST = 2**20  # classes
BASELINE = "largest softmax"
PANELS = {"auroc": "AUROC", "fpr_at_95": "FPR at 95 %"}


def read(path) -> dict[str, np.ndarray]:
    """The arrays of a file, floats in float32, checked against one another.

    Raises:
      FileNotFoundError: there is none. ValueError: it is not as above.
    """
    found = files.read_npz(WHO, path)
    sets = sets_of(found)
    missing = [n for n in ("train", "train_label", "test") if n not in found]
    if missing or not sets or ("weights" in found) != ("bias" in found):
        raise ValueError(
            f"{WHO}: expected train, train_label, test, {PREFIX}NAME, and weights and "
            f"bias together or not at all; {path} has {', '.join(found)}."
        )
    who, head = f"{WHO}: {path}", [n for n in ("weights",) if n in found]
    dim = found["train"].shape[-1] if found["train"].ndim else 0
    names = ("train", "test", *(PREFIX + name for name in sets), *head)
    found |= arrays.floats(who, found, *names, width=dim)
    num_classes = len(found["weights"]) if head else LARGEST
    if head:
        checks.shape(who, (num_classes,), bias=found["bias"])
        checks.floating(who, bias=found["bias"])
        checks.finite(who, bias=found["bias"])
    for name in ("train", "test"):
        label = f"{name}_label"
        if label in found:
            rows = len(found[name])
            found[label] = arrays.classes(who, found, label, rows, num_classes)
    for name in own_scores(found):
        for title in ("test", *sets):
            key = f"{OWN}{name}{OF}{title}"
            if key not in found:
                raise ValueError(f"{who}: expected {key} beside {name} of others.")
            rows = found["test" if title == "test" else PREFIX + title]
            checks.shape(who, (len(rows),), **{key: found[key]})
            checks.floating(who, **{key: found[key]})
            checks.finite(who, **{key: found[key]})
    return found


def own_scores(data) -> list[str]:
    """Names of scores that the file brings, in order."""
    found = [n.removeprefix(OWN) for n in data if n.startswith(OWN) and OF in n]
    return list(dict.fromkeys(name.partition(OF)[0] for name in found))


def sets_of(data) -> list[str]:
    """Names of the sets of outliers."""
    return [n.removeprefix(PREFIX) for n in data if n.startswith(PREFIX)]


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
    for title in sets_of(data):
        rows = np.concatenate([data["test"], data[PREFIX + title]])
        outlier = np.arange(len(rows)) >= len(data["test"])
        values = {name: np.asarray(score(rows)) for name, score in scores.items()}
        for name in own_scores(data):
            parts = (data[f"{OWN}{name}{OF}{part}"] for part in ("test", title))
            values[name] = np.concatenate(list(parts))
        found[title] = {
            name: outliers.detection(x, outlier) for name, x in values.items()
        }
        kept |= {f"{title}/{name}": x for name, x in values.items()}
    return found, kept


def gathered(each: Sequence[dict]) -> dict:
    """{set: {score: {figure: values}}}, a value a file; scores that all files have."""
    sets = {}
    for title, rows in each[0].items():
        shared = [n for n in rows if all(n in found[title] for found in each)]
        sets[title] = {
            name: {
                key: [found[title][name][key] for found in each] for key in rows[name]
            }
            for name in shared
        }
    return sets


def table(title: str, rows: dict) -> Table:
    """A set of outliers: a line a score, the best mean of a column in bold."""
    numbers = [[over_seeds(x) for x in found.values()] for found in rows.values()]
    values = np.array([[number.mean for number in row] for row in numbers])
    best = [*values[:, :-1].argmax(axis=0), values[:, -1].argmin()]
    lines = [
        [name, *(x._replace(best=bool(best[c] == r)) for c, x in enumerate(row))]
        for r, (name, row) in enumerate(zip(rows, numbers))
    ]
    return Table(("score", *outliers.COLUMNS), lines, title=f"Outliers: {title}")


def better(rows: dict, key: str, sign: int) -> list[str]:
    """The scores of a set whose figure is above the baseline's in every file.

    sign: 1, or -1 where lower is better.
    """
    base = rows[BASELINE][key]
    return [
        name
        for name, found in rows.items()
        if all(sign * x > sign * b for x, b in zip(found[key], base))
    ]


def comparison(found: dict) -> str:
    """In words, which scores are better than the baseline, for every set."""
    lines = []
    for title, rows in found.items():
        of_both = [better(rows, "auroc", 1), better(rows, "fpr_at_95", -1)]
        words = [
            f"{len(names)} of {len(rows) - 1} by {what}"
            + (f" ({', '.join(names)})" if names else "")
            for names, what in zip(of_both, PANELS.values())
        ]
        lines.append(f"- {title}: {'; '.join(words)}.")
    by_auroc = [better(rows, "auroc", 1) for rows in found.values()]
    everywhere = [n for n in by_auroc[0] if all(n in names for names in by_auroc)]
    nowhere = [title for title, names in zip(found, by_auroc) if not names]
    return (
        f"Better than the {BASELINE} in every file:\n\n"
        + "\n".join(lines)
        + f"\n\nBy AUROC, {', '.join(everywhere) or 'no score'} on all of these sets"
        + (f"; on {', '.join(nowhere)} no score." if nowhere else ".")
    )


def about(first: dict, accuracies: Sequence[float]) -> str:
    """What a file holds, and the accuracy of the networks if files have labels."""
    sets = [f"{name} {len(first[PREFIX + name]):,}" for name in sets_of(first)]
    text = (
        f"{len(first['train']):,} training rows, {len(first['test']):,} test rows, "
        f"{first['train'].shape[1]} features. Outliers: {', '.join(sets)}."
    )
    if accuracies:
        text += f" Accuracy on test rows {cell(over_seeds(accuracies))}."
    return text


def pictures(folder: pathlib.Path, found: dict) -> list[store.Picture]:
    """One of AUROC and one of false positives, standard deviations as bars."""
    drawn = []
    for key, label in PANELS.items():
        mean, spread = (
            {
                title: {name: float(of(row[key])) for name, row in rows.items()}
                for title, rows in found.items()
            }
            for of in (np.mean, np.std)
        )
        direction = "higher" if key == "auroc" else "lower"
        png = figures.dots(mean, f"{label}, {direction} is better", spread)
        file, caption = f"pictures/outliers_{key}.png", f"{label} of every score"
        drawn.append(store.picture(folder, file, caption, png))
    return drawn


def main(arguments=None) -> int:
    """Compares, then writes and prints the results; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = arrays.parser(MODULE, __doc__)
    asked = arrays.parsed(parser, arguments)
    folder, each, accuracies = pathlib.Path(asked.workdir), [], []
    with one_line_errors(parser):
        paths = arrays.paths(asked, "features", digits.features)
        first = read(paths[0])
        for path in paths[1:]:  # all, before the first is compared
            if sorted(sets_of(data := read(path))) != sorted(sets_of(first)):
                raise ValueError(
                    f"{WHO}: expected the sets {', '.join(sets_of(first))} of "
                    f"{paths[0]} in each file; {path} has {', '.join(sets_of(data))}."
                )
        for number, path in enumerate(paths):  # one in memory at a time
            found, scores = compare(data := read(path))
            each.append(found)
            with files.whole(folder / f"scores_{number}.npz") as partial:
                np.savez(partial, **scores)
            if "test_label" in data:
                weights, bias = head(data)
                predicted = (data["test"] @ weights.T + bias).argmax(axis=1)
                accuracies.append(float(np.mean(predicted == data["test_label"])))
            print(f"{path}: compared", flush=True)
    found = gathered(each)
    text = [digits.about(digits.FEATURES, asked.data_dir)] if asked.digits else []
    text += [about(first, accuracies), f"{outliers.NOTE} Best in bold."]
    content = [*text, comparison(found), *(table(*pair) for pair in found.items())]
    text = arrays.write(
        asked,
        MODULE,
        arguments,
        len(paths),
        title="Scores of outliers on the same features",
        content=[*content, *pictures(folder, found)],
    )
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
