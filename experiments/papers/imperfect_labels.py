"""Labels that are wrong, few, or rare: methods for each, side by side on digits.

  python -m experiments.papers.imperfect_labels --scale=cpu --workdir=DIR

Parts, all of them unless --only names some:
  noise  a share of the labels is wrong: accuracy of losses that withstand them, and of
         training without the rows that an estimator flags; how well wrong labels are
         found. With --peer=PYTHON, an interpreter that has cleanlab, also its flags of
         the same probabilities.
  few    1 to 10 labels a class, and 2,000 digits in all: networks that label the rest,
         graphs and kernels over all rows, and probes of features by SimCLR.
  rare   classes of which the largest has 10 or 100 times the rows of the smallest.
Writes DIR/imperfect_labels.json, .md and .csv, and pictures. Finished settings are not
repeated: the same command continues. Scales: cpu, a network of dense layers on 14 x 14
pixels; smoke, two steps on a few rows. Without --data_dir digits are those in the
package, with it all of MNIST: 15 times the rows and steps of the part noise, 3 times
those of rare, and all test digits; few has 2,000 digits in any case.

Every setting was chosen beforehand, but for one width in `label_few`. Papers have
other data and networks, so no published figure is comparable, and none is shown.
"""

import json
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.arguments import one_line_errors
from experiments.benchmarks import processes
from experiments.launch import sweep
from experiments.papers import grid, label_few, label_noise, label_rare
from experiments.papers import label_training as training
from experiments.results import store, tables
from experiments.results.tables import Table
from repr_jax import figures, files, logs
from repr_jax.estimators import confident_learning
from repr_jax.workdir import records

NAME = "imperfect_labels"
PEER = pathlib.Path(__file__).parents[1] / "benchmarks" / "peers" / "label_errors.py"
FILE = "numbers.json"  # of a run
ROUNDING = 1e-5


class Part(NamedTuple):
    """A module of methods, and its sizes."""

    settings: Mapping
    measure: Callable
    rows: int | None  # of the package's training digits; None for all
    steps: int
    with_all: int  # rows and steps with --data_dir, in those without


PARTS = {
    "noise": Part(label_noise.SETTINGS, label_noise.measure, 4_000, 2_000, 15),
    "few": Part(label_few.SETTINGS, label_few.measure, 2_000, 1_500, 1),
    "rare": Part(label_rare.SETTINGS, label_rare.measure, None, 2_000, 3),
}
SMOKE = PARTS | {
    name: part._replace(rows=400, steps=2, with_all=1) for name, part in PARTS.items()
}
TESTED = {"cpu": None, "smoke": 100}  # test digits
ABOUT = (
    "Digits of 14 x 14 pixels, dense layers of 256 and 128 units, Adam with a rate "
    "that falls from 1e-3 to 0, {steps} steps; accuracies on {tested} test digits "
    "whose labels are right. Mean and standard deviation over seeds, which choose the "
    "wrong, known or rare labels, start and order. Best in bold. Settings were chosen "
    "beforehand; papers have other data, so none of their figures is comparable. "
    "{seconds:.0f} processor minutes for all, compilation included."
)
NOTES = {
    "noise": "{rows} digits, 128 a step, of which the share in the column is labeled "
    "wrongly: as any other class (symmetric), or 2 as 7, 3 as 8, 5 as 6, 6 as 5 and 7 "
    "as 1 (asymmetric, 40 % of these). At its end the network of cross-entropy "
    "predicts {memorized} of the wrong labels that it was trained on, in this order. "
    "Rows that an estimator flags are left out, and the network is trained anew. "
    "Confident learning has probabilities of four folds, the mixture and the "
    "separation losses of a network that was stopped after a tenth of the steps, as "
    "the folds were; the separation has features that SimCLR learned without labels "
    "and sees no label, so that it can only find wrong labels that gather somewhere; "
    "the relation graph has those of the network at the end. Scores of confident "
    "learning, which only flags, are 1 - the probability of the label out of fold. "
    "Chance is 0.5 of AUROC, and of precision and AP the share of wrong rows.",
    "few": "{rows} digits, of which so many of each class have a label. Cross-entropy, "
    "pseudo-labels and FixMatch see moved digits, 64 with labels a step and 192 of "
    "all; pseudo-labels are FixMatch's with one view. Logistic regressions see the "
    "labels alone; label propagation, the spectral kernel and low density see all rows "
    "too, as pixels or as features that SimCLR learned from them without labels. The "
    "width of label propagation was changed: ten times gamma, after a trial on 400 "
    "rows that named one class.",
    "rare": "128 digits a step; which are rare is drawn with the seed: head, the three "
    "most frequent; tail, the three rarest; balanced, the mean over all classes. "
    "Balanced softmax is logit adjustment of strength 1.",
}


class Row(NamedTuple):
    """The runs that differ by their seed alone."""

    part: str  # of PARTS
    setting: str
    runs: list[sweep.Run]  # without a config: this process does them


def parts_of(asked) -> dict[str, Part]:
    """The parts at the scale."""
    return SMOKE if asked.scale == "smoke" else PARTS


def rows_of(part: str, asked) -> list[Row]:
    """A row a setting."""
    rows = []
    for setting in PARTS[part].settings:
        name = f"{part}/{setting.replace(' %', '').replace(' ', '_')}"
        runs = [
            sweep.Run(f"{name}/seed{seed}", "", {"seed": seed})
            for seed in range(asked.seeds)
        ]
        rows.append(Row(part, setting, runs))
    return rows


def sizes(part: str, asked) -> tuple[int | None, int]:
    """Training rows, None for all, and steps."""
    one = parts_of(asked)[part]
    times = one.with_all if asked.data_dir else 1
    return None if times > 1 else one.rows, one.steps * times


def measured(row: Row, run: sweep.Run, asked) -> dict[str, float]:
    """The numbers of a run: those in its folder, or else made and kept there.

    Raises:
      ValueError: the folder has those of another scale or of other digits, or what is
        there is not such a file.
    """
    folder = pathlib.Path(asked.workdir) / run.name
    num_rows, num_steps = sizes(row.part, asked)
    source = "MNIST" if asked.data_dir else "embedded"
    written = {"rows": num_rows, "steps": num_steps, "digits": source}
    if (folder / FILE).exists():
        found = read(folder / FILE)
        if {name: found[name] for name in written} != written:
            raise ValueError(
                f"{folder}: written at another --scale or of other digits; use another "
                "--workdir, or remove it."
            )
        return found["numbers"]
    folder.mkdir(parents=True, exist_ok=True)
    records.note_start(folder)
    began = time.process_time()
    data = training.load(asked.data_dir, num_rows, TESTED[asked.scale])
    numbers = PARTS[row.part].measure(
        row.setting,
        run.overrides["seed"],
        data,
        data_dir=asked.data_dir,
        num_steps=num_steps,
        folder=folder,
    )
    numbers["seconds"] = time.process_time() - began
    files.write(folder / FILE, json.dumps({**written, "numbers": numbers}))
    logs.say(f"{run.name}: {numbers['seconds']:.0f} s")
    return numbers


def read(path: pathlib.Path) -> dict:
    """A file of `measured`.

    Raises:
      ValueError: it is none.
    """
    try:
        found = json.loads(path.read_text())
        numbers = {name: float(x) for name, x in found["numbers"].items()}
        return {n: found[n] for n in ("rows", "steps", "digits")} | {"numbers": numbers}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(
            f"{NAME}: expected the numbers of a run; got {path}."
        ) from None


def number(row: Row, found: Mapping, metric: str):
    """Mean and spread of a metric over the runs; NaN where it is in none."""
    values = (found[run.name].get(metric, np.nan) for run in row.runs)
    return tables.over_seeds(values)


def table(
    rows: Sequence[Row],
    found: Mapping,
    methods: Sequence[str],
    columns: Mapping[str, tuple[Row, str]],
    title: str,
    lead: str = "method",
) -> Table:
    """A line a method; the best mean of a column, but the oracle's, in bold.

    columns: {name: (row, figure)}, the metric of a run being FIGURE/METHOD.
    """
    cells = [
        [number(row, found, f"{figure}/{name}") for row, figure in columns.values()]
        for name in methods
    ]
    means = np.array([[cell.mean for cell in line] for line in cells])
    means[[name == label_noise.ORACLE for name in methods]] = np.nan
    best = np.argmax(np.nan_to_num(means, nan=-1), axis=0)
    lines = [
        (name, *(x._replace(best=bool(best[c] == r)) for c, x in enumerate(line)))
        for r, (name, line) in enumerate(zip(methods, cells))
    ]
    return Table((lead, *columns), lines, title=title)


def picture(file: str, caption: str, label: str, shown: Table, asked) -> store.Picture:
    """The numbers of a table: a color a column, a line a method."""
    groups, spread = {}, {}
    for place, column in enumerate(shown.header[1:], 1):
        groups[column] = {line[0]: line[place].mean for line in shown.rows}
        spread[column] = {line[0]: line[place].sd or 0.0 for line in shown.rows}
    png = figures.dots(groups, label, spread)
    return store.picture(asked.workdir, f"pictures/{NAME}_{file}.png", caption, png)


def of_noise(rows: Sequence[Row], found: Mapping, asked) -> list:
    """Accuracies, and how well wrong labels are found."""
    metrics = dict.fromkeys(name for numbers in found.values() for name in numbers)
    methods, detectors = (
        [name.removeprefix(start) for name in metrics if name.startswith(start)]
        for start in ("accuracy/", "recall/")
    )
    scored = [n.removeprefix("AUROC/") for n in metrics if n.startswith("AUROC/")]
    names = list(dict.fromkeys([*scored, *detectors]))
    columns = {row.setting: (row, "accuracy") for row in rows}
    accuracies = table(rows, found, methods, columns, "noise: accuracy")
    columns = {row.setting: (row, "AUROC") for row in rows}
    aurocs = table(rows, found, scored, columns, "AUROC", "score")
    content = [
        accuracies,
        picture("noise", "noise: accuracy", "accuracy", accuracies, asked),
        picture("found", "noise: wrong labels found", "AUROC", aurocs, asked),
    ]
    for row in rows:
        columns = {name: (row, name) for name in label_noise.DETECTIONS}
        title = f"wrong labels found, {row.setting}"
        content.append(table(rows, found, names, columns, title, "found by"))
    return content


def of_few(rows: Sequence[Row], found: Mapping, asked) -> list:
    """Accuracies over the number of labels."""
    columns = {row.setting: (row, "accuracy") for row in rows}
    shown = table(rows, found, label_few.METHODS, columns, "few: labels of each class")
    return [shown, picture("few", "few: accuracy", "accuracy", shown, asked)]


def of_rare(rows: Sequence[Row], found: Mapping, asked) -> list:
    """Accuracies of all, frequent and rare classes; drawn for the last row."""
    content = []
    for row in rows:
        columns = {name: (row, name) for name in label_rare.COLUMNS}
        title = f"rare: {row.setting}"
        content.append(table(rows, found, label_rare.METHODS, columns, title))
    caption = f"rare: accuracy at {rows[-1].setting}"
    return [*content, picture("rare", caption, "accuracy", content[-1], asked)]


CONTENTS = {"noise": of_noise, "few": of_few, "rare": of_rare}


# cleanlab


def of_peer(rows: Sequence[Row], found: Mapping, asked) -> Table:
    """Runs cleanlab on what the runs kept; its numbers go to `found`.

    Raises:
      ValueError: it failed; the end of what it said.
    """
    folders = [pathlib.Path(asked.workdir) / run.name for r in rows for run in r.runs]
    processes.run(asked.peer, PEER, *folders)
    each = []
    for row in rows:
        for run in row.runs:
            folder = pathlib.Path(asked.workdir) / run.name
            ours = dict(np.load(folder / label_noise.FILE))
            theirs = dict(np.load(folder / "peer.npz"))
            each.append((ours, theirs))
            flags = theirs["prune_by_noise_rate"]
            numbers = label_noise.detection(None, flags, ours["wrong"])
            name = "cleanlab, by noise rate"
            found[run.name] |= {f"{k}/{name}": value for k, value in numbers.items()}
    versions = json.loads((folders[0] / "peer.json").read_text())
    title = "Beside " + ", ".join(f"{k} {v}" for k, v in versions.items())
    return agreement(each)._replace(title=title)


def agreement(each: Sequence[tuple[dict, dict]]) -> Table:
    """Rows of all runs on which ours and the peer's agree, a line a method.

    Where several classes reach their thresholds, ours is the most probable of them, as
    in the paper, and cleanlab's the most probable of all, which need not reach its own:
    such rows are counted apart.
    """

    def own(given, out, suspected):
        named = np.argmax(out, axis=1) == given
        label = out[np.arange(len(out)), given]
        return suspected, suspected & ~named, label

    def apart(given, out):
        limits = np.asarray(confident_learning.fit(out, given).thresholds) - 1e-6
        likely = np.argmax(out, axis=1)
        reached = np.sum(out >= limits, axis=1)
        return (reached > 1) & (out[np.arange(len(out)), likely] < limits[likely])

    names = {
        "off_diagonal": "flags, off the diagonal of the confident joint",
        "confident_learning": "flags, but where the label is the most probable class",
        "self_confidence": "probability of the label, as a score",
    }
    lines = []
    for place, (key, name) in enumerate(names.items()):
        counts = np.zeros(3, int)
        for ours, theirs in each:
            given, out = ours["given"], ours["out"]
            value = own(given, out, ours["suspected"])[place]
            differ = np.abs(value * 1.0 - theirs[key]) > ROUNDING
            known = apart(given, out) if place < 2 else np.zeros(len(out), bool)
            counts += len(out), np.sum(differ & known), np.sum(differ & ~known)
        lines.append((name, key, *map(int, counts)))
    header = ("ours", "cleanlab", "rows", "differ, rule of several", "differ else")
    return Table(header, lines)


# The command


def about(part: str, rows: Sequence[Row], found: Mapping, asked) -> str:
    """What was done, with the sizes of these runs."""
    num_rows, num_steps = sizes(part, asked)
    tested = TESTED[asked.scale] or (10_000 if asked.data_dir else 2_000)
    seconds = sum(found[run.name]["seconds"] for row in rows for run in row.runs)
    text = ABOUT.format(
        steps=f"{num_steps:,}", tested=f"{tested:,}", seconds=seconds / 60
    )
    memorized = [number(row, found, "memorized").mean for row in rows]
    return f"{text} " + NOTES[part].format(
        rows=f"{num_rows or 60_000:,}",
        memorized=", ".join(f"{share:.0%}" for share in memorized),
    )


def write(rows: Mapping[str, Sequence[Row]], found: Mapping, asked) -> str:
    """The result file, every number as CSV, and the pictures; returns the markdown."""
    content = []
    for part, some in rows.items():
        of_part = {run.name: found[run.name] for row in some for run in row.runs}
        asks = asked.peer and part == "noise"
        beside = [of_peer(some, of_part, asked)] if asks else []
        content.append(about(part, some, of_part, asked))
        content += [*CONTENTS[part](some, of_part, asked), *beside]
    return grid.write(
        NAME,
        asked,
        [row for some in rows.values() for row in some],
        found,
        title="Labels that are wrong, few, or rare",
        content=content,
        columns=("part", "setting"),
        data="DATA",
        flags=["--peer=PYTHON"] if asked.peer else [],
    )


def main(arguments=None) -> int:
    """Measures what is not measured, writes and prints the results; the exit code."""
    mnist = "of tfds' MNIST; if empty, the digits in the package"
    parser = grid.parser(NAME, __doc__, PARTS, data_dir=mnist, scales=("cpu", "smoke"))
    parser.add_argument("--peer", default="", help="a Python that has cleanlab")
    asked = grid.parsed(parser, PARTS, arguments)
    rows = {part: rows_of(part, asked) for part in asked.only}
    runs = [(run, row) for some in rows.values() for row in some for run in row.runs]
    with one_line_errors(parser):
        found = {
            run.name: measured(row, run, asked)
            for run, row in sorted(runs, key=lambda pair: pair[0].overrides["seed"])
        }
        print(f"\n{write(rows, found, asked)}\nresults: {asked.workdir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
