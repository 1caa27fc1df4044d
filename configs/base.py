"""What every run has, whatever it trains.

A config adds `experiment` (a `make`), `dataset`, `optimizer`, `loss`, and whatever else
the experiment reads. All choices are dict(fn=..., keyword=...).
"""

import ml_collections


def base(*, smoke: bool = False) -> ml_collections.ConfigDict:
    """Defaults of the loop; the smoke form takes two steps of eight examples."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.num_steps = 2 if smoke else 10_000
    config.batch_size = 8 if smoke else 256
    config.steps_per_call = 1  # updates a dispatch; small models gain from more
    config.accumulate = 1  # parts of a batch, one after another, for one update
    config.log_every = 1 if smoke else 100  # steps; the metrics are means over them
    config.checkpoint_every = 1 if smoke else 1_000  # steps
    config.keep_last = 2  # checkpoints
    config.eval_every = 0  # steps between evaluations while training; 0 for none
    config.eval_names = ()  # of evals, those to call then; () for all
    config.best_metric = "loss"  # the best checkpoint is kept too; "" for none; of an
    # evaluator as in "knn/accuracy", evaluated while training
    config.best_mode = "min"  # or max: which best_metric is best
    config.data_patience = 1_800.0  # seconds without a batch, after which the run ends
    config.shard_state = False  # parameters and optimizer split over all devices
    config.model_devices = 1  # of each copy of the model: splits wide layers and tables
    config.ema_decay = 0.0  # of a moving average of parameters to evaluate; 0 for none
    config.updates = ml_collections.ConfigDict()  # a step, by player; 1 if not named
    config.start = ml_collections.ConfigDict()
    config.start.source = ""  # another run's workdir, or an .npz, to start from
    config.start.prefixes = ()  # what to take: see `repr_jax.workdir.start.take`
    config.start.step = ""  # of that run's checkpoint: newest; or "best", or a number
    config.evals = ml_collections.ConfigDict()
    return config
