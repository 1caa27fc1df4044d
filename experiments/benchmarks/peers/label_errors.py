"""The peer of `imperfect_labels`: cleanlab, in a process of its own.

  PYTHON experiments/benchmarks/peers/label_errors.py FOLDER FOLDER ...

Each FOLDER has labels.npz, as `label_noise.measure` writes it: the given labels and
`out`, probabilities out of fold. Adds peer.npz there, what cleanlab flags and its
scores of labels, and peer.json with versions. Needs numpy and cleanlab alone.
"""

import importlib.metadata
import json
import pathlib
import sys

import numpy as np
from cleanlab import count, filter, rank

PACKAGES = ("cleanlab", "scikit-learn", "numpy")


def found(given, out):
    """Flags and scores by what computes them, [rows] each."""
    _, off_diagonal = count.compute_confident_joint(
        given, out, return_indices_of_off_diagonals=True
    )
    flags = np.zeros(len(given), bool)
    flags[off_diagonal] = True
    kinds = ("confident_learning", "prune_by_noise_rate")
    issues = {
        kind: filter.find_label_issues(given, out, filter_by=kind, n_jobs=1)
        for kind in kinds
    }
    score = rank.get_label_quality_scores(given, out, method="self_confidence")
    return dict(off_diagonal=flags, self_confidence=score, **issues)


def main(folders):
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    for folder in map(pathlib.Path, folders):
        data = np.load(folder / "labels.npz")
        np.savez(folder / "peer.npz", **found(data["given"], data["out"]))
        (folder / "peer.json").write_text(json.dumps(versions))


if __name__ == "__main__":
    main(sys.argv[1:])
