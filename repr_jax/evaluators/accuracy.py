"""How often a classifier is right on the test split."""

from repr_jax import metrics
from repr_jax.evaluators.common import Evaluation, classes_of, collect_targets, needs
from repr_jax.evaluators.linear_probe import largest_share


@needs("logits")
def evaluate(trained, dataset, *, batch_size: int = 256) -> Evaluation:
    """Numbers: "accuracy", the share of test rows whose largest logit is their label's.

    In [0, 1]; chance is the share of the largest class.

    Args:
      trained: Trained, whose `logits` are [batch, num_classes].
      dataset: Dataset with a `label`.
      batch_size: rows at a time.
    """
    logits, entries = collect_targets(
        trained, dataset, "test", batch_size, ("label",), output="logits"
    )
    labels = classes_of("label", entries["label"])
    number = float(metrics.accuracy(logits.argmax(axis=-1), labels))
    chance = {"accuracy": largest_share(labels)}
    return Evaluation({"accuracy": number}, chance=chance)
