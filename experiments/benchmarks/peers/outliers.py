"""The peer of `outliers_peer`: pytorch-ood, scikit-learn and PyOD, in a process.

  PYTHON experiments/benchmarks/peers/outliers.py FOLDER

FOLDER has features.npz, as `outliers_peer.hand_over` writes it: train, train_label,
rows, outlier, weights, bias, and the numbers of neighbors. Adds peer.npz: the scores of
`rows` by each class of the three packages, as the package gives them; and peer.json,
milliseconds and versions. Needs numpy, torch, pytorch-ood, scikit-learn and pyod alone.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import pathlib
import statistics
import sys
import time

import numpy as np
import torch
from sklearn import metrics
from sklearn.covariance import EmpiricalCovariance
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

REPEATS = 5
PACKAGES = ("torch", "pytorch-ood", "scikit-learn", "pyod", "numpy")


def pytorch_ood():
    """Its detectors, without its data sets and models, which need torchvision."""
    spec = importlib.util.find_spec("pytorch_ood")
    sys.modules["pytorch_ood"] = importlib.util.module_from_spec(spec)
    return importlib.import_module("pytorch_ood.detector")


def of_pytorch_ood(data):
    """{class: a function of nothing -> scores}, fitted."""
    found = pytorch_ood()
    train, rows = (torch.from_numpy(data[name]) for name in ("train", "rows"))
    label = torch.from_numpy(data["train_label"]).long()
    head = torch.nn.Linear(*data["weights"].shape[::-1])
    head.weight.data = torch.from_numpy(data["weights"])
    head.bias.data = torch.from_numpy(data["bias"])
    w, b, logits = head.weight.data, head.bias.data, head(rows).detach()

    def of_maps(detector):
        detector.fit_feature_maps(train[:, :, None, None], label)
        return lambda: detector.predict_feature_maps(rows.clone()[:, :, None, None])

    def of_features(detector):
        detector.fit_features(train, label)
        return lambda: detector.predict_features(rows)

    def flat(x):
        return head(x.flatten(1))

    matching = found.KLMatching(None)
    matching.fit_logits(head(train).detach(), label)
    dim, neighbors = train.shape[1], int(data["neighbors"])
    functions = {
        "MaxSoftmax": lambda: found.MaxSoftmax.score(logits),
        "MaxLogit": lambda: found.MaxLogit.score(logits),
        "EnergyBased": lambda: found.EnergyBased.score(logits),
        "Entropy": lambda: found.Entropy.score(logits),
        "GEN": lambda: found.GEN.score(logits, gamma=0.1, M=100),
        "KLMatching": lambda: matching.predict_logits(logits),
        "ReAct": of_maps(found.ReAct(lambda x: x, flat, percentile=0.9)),
        "ASH (ash-s)": of_maps(found.ASH(lambda x: x, flat, "ash-s", 0.65)),
        "ASH (ash-b)": of_maps(found.ASH(lambda x: x, flat, "ash-b", 0.65)),
        "SCALE": of_maps(found.SCALE(lambda x: x, flat, 0.85)),
        "DICE": of_features(found.DICE(None, w, b, p=0.9)),
        "NNGuide": of_features(found.NNGuide(None, head, int(data["guides"]))),
        "fDBD": of_features(found.fDBD(None, head)),
        "ViM": of_features(found.ViM(None, dim // 2, w, b)),
        "Mahalanobis": of_features(found.Mahalanobis(None)),
        "RMD": of_features(found.RMD(None)),
        "KNN": of_features(found.KNN(None, neighbors)),
    }
    odin = found.ODIN(head, eps=0.0014, temperature=1000.0)
    functions["ODIN"] = lambda: odin.predict(rows.clone())
    return {
        name: lambda f=f: f().detach().numpy().astype(np.float64)
        for name, f in functions.items()
    }


def of_scikit_learn(data):
    """As `of_pytorch_ood`; figures of detection are scores of one row."""
    train, rows = (data[name].astype(np.float64) for name in ("train", "rows"))
    covariance = EmpiricalCovariance().fit(train)
    nearest = NearestNeighbors(n_neighbors=int(data["neighbors"])).fit(train)
    mixture = GaussianMixture(1, reg_covar=1e-6).fit(train)
    shown, outlier = rows[:, 0], data["outlier"]
    return {
        "EmpiricalCovariance": lambda: covariance.mahalanobis(rows),
        "NearestNeighbors": lambda: nearest.kneighbors(rows)[0][:, -1],
        "GaussianMixture": lambda: -mixture.score_samples(rows),
        "roc_auc_score": lambda: np.array([metrics.roc_auc_score(outlier, shown)]),
        "average_precision_score": lambda: np.array(
            [metrics.average_precision_score(outlier, shown)]
        ),
    }


def of_pyod(data):
    """As `of_pytorch_ood`."""
    from pyod.models.ecod import ECOD
    from pyod.models.knn import KNN

    train, rows = data["train"], data["rows"]
    found = {"ECOD": ECOD()}
    found["KNN, mean"] = KNN(n_neighbors=int(data["neighbors"]), method="mean")
    for detector in found.values():
        detector.fit(train)
    return {n: lambda f=f: f.decision_function(rows) for n, f in found.items()}


def timed(function):
    """Scores, and the median of the milliseconds of calls after the first."""
    scores, taken = function(), []
    for _ in range(REPEATS):
        began = time.perf_counter()
        function()
        taken.append(1e3 * (time.perf_counter() - began))
    return scores, statistics.median(taken)


def main(folder):
    folder = pathlib.Path(folder)
    data = dict(np.load(folder / "features.npz"))
    torch.manual_seed(0)
    scores, ms = {}, {}
    parts = {
        "pytorch-ood": of_pytorch_ood,
        "scikit-learn": of_scikit_learn,
        "PyOD": of_pyod,
    }
    for package, functions in parts.items():
        for name, function in functions(data).items():
            key = f"{package} {name}"
            scores[key], ms[key] = timed(function)
    np.savez(folder / "peer.npz", **scores)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    text = json.dumps({"ms": ms, "versions": versions})
    (folder / "peer.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
