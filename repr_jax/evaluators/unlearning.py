"""Was it forgotten, or only by the last layer? Compared with a model that never knew.

Numbers of the model after unlearning, and how far each is from that of a model trained
from scratch without the forgotten rows.
"""

from collections.abc import Callable, Sequence

import numpy as np

from repr_jax import metrics
from repr_jax.estimators import logistic
from repr_jax.evaluators import knn
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    Trained,
    classes_of,
    collect,
    collect_targets,
    needs,
)
from repr_jax.ops import checks

PARTS = ("forget", "retain", "test")


def by_class(labels: np.ndarray, *, classes: Sequence[int]) -> np.ndarray:
    """[rows] bool, True for rows of the classes that are forgotten."""
    return np.isin(labels, classes)


def membership(retain: np.ndarray, test: np.ndarray, forget: np.ndarray) -> float:
    """The share of forgotten rows that an attack takes for training rows.

    Logistic regression on each row's probability of its own class, of as many remaining
    training rows (members) as test rows; the authors fit a support vector machine.

    Args:
      retain, test, forget: [rows] probabilities in [0, 1].

    Returns:
      In [0, 1]; compare it with a retrained model's.

    Raises:
      ValueError: no row of a kind.
    """
    count = min(len(retain), len(test))
    if not count or not len(forget):
        raise ValueError(
            f"membership: expected rows of each kind; got {len(retain)} retained, "
            f"{len(test)} test and {len(forget)} forgotten."
        )
    rng = np.random.default_rng(0)
    chosen = [p[rng.permutation(len(p))[:count]] for p in (test, retain)]
    x, member = np.concatenate(chosen), np.repeat([0, 1], count).astype(np.int32)
    attack = logistic.fit(x[:, None].astype(np.float32), member, num_classes=2)
    guesses = logistic.predict(attack, forget[:, None].astype(np.float32))
    return float(np.mean(np.asarray(guesses) == 1))


@needs("represent", "logits")
def evaluate(
    trained: Trained,
    dataset,
    *,
    original: Trained,
    retrained: Trained,
    forgotten: Callable[[np.ndarray], np.ndarray],
    downstream=None,
    num_neighbors: int = 5,
    batch_size: int = 256,
) -> Evaluation:
    """Accuracies, a membership attack, CKA, and neighbors on another task.

    Args:
      trained: after unlearning.
      dataset: Dataset with a `label`; its training split has all rows.
      original: before unlearning.
      retrained: trained without the forgotten rows.
      forgotten: labels -> bool, such as partial(by_class, classes=(3,)); also of test
        rows, of which it leaves out those.
      downstream: Dataset of a task near what was forgotten; None for no such number.
      num_neighbors: k; 5 is our choice.
      batch_size: rows at a time.

    Returns:
      "accuracy/forget", "/retain", "/test", "membership", "cka/original",
      "cka/retrained" (of all training rows; the authors' mean is over batches of 512)
      and "neighbors", in [0, 1]; and for each but the CKA "gap/NAME", its distance from
      the retrained model's, 0 is best. No aggregate.

    Raises:
      ValueError: no row is forgotten, retained or of the test split, or a label is no
        class of the logits.

    Source: Kim, Cha and Kim, "Are We Truly Forgetting? A Critical Re-examination of
      Machine Unlearning Evaluation Protocols", 2025, https://arxiv.org/abs/2503.06991.
    """
    checks.count("unlearning", num_neighbors=num_neighbors)
    models = dict(unlearned=trained, original=original, retrained=retrained)
    options = dict(downstream=downstream, k=num_neighbors, batch_size=batch_size)
    of_model = {
        name: _numbers(model, dataset, forgotten, **options)
        for name, model in models.items()
        if name != "original"
    }
    x = {
        name: collect(model, dataset, "train", batch_size)[0]
        for name, model in models.items()
    }
    found = of_model["unlearned"]
    gaps = {
        f"gap/{name}": abs(value - of_model["retrained"][name])
        for name, value in found.items()
    }
    alike = {
        f"cka/{name}": float(metrics.linear_cka(x["unlearned"], x[name]))
        for name in ("original", "retrained")
    }
    rows = [
        (name, value, of_model["retrained"][name], gaps[f"gap/{name}"])
        for name, value in found.items()
    ]
    note = (
        "The unlearned model beside one trained without the forgotten rows. CKA with "
        f"the original {alike['cka/original']:.3f}, with the retrained "
        f"{alike['cka/retrained']:.3f}."
    )
    header = ("", "unlearned", "retrained", "gap")
    tables = (Table("Unlearning", note, header, rows),)
    numbers = found | alike | gaps
    return Evaluation(numbers, {}, tables, {}, ("accuracy/forget", "cka/retrained"))


def _numbers(model, dataset, forgotten, *, downstream, k, batch_size):
    """Of one model, by name."""
    right, own = {}, {}
    for split in ("train", "test"):
        logits, y = collect_targets(
            model, dataset, split, batch_size, ("label",), output="logits"
        )
        labels = classes_of("label", y["label"])
        checks.within("unlearning", logits.shape[1], label=labels)
        p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        gone = forgotten(labels)
        parts = {"test": ~gone}
        if split == "train":
            parts = {"forget": gone, "retain": ~gone}
        for name, mask in parts.items():
            own[name] = p[mask, labels[mask]]
            right[name] = np.argmax(logits[mask], axis=1) == labels[mask]
    found = {f"accuracy/{part}": float(np.mean(right[part])) for part in PARTS}
    found["membership"] = membership(own["retain"], own["test"], own["forget"])
    if downstream is not None:
        votes = dict(num_neighbors=(k,), batch_size=batch_size)
        numbers = knn.evaluate(model, downstream, **votes).numbers
        found["neighbors"] = numbers[f"unweighted/{k}"]
    return found
