"""Clients that keep their rows: each trains a copy, and the copies are averaged.

A step of the loop is a round. Every client starts from the shared parameters, takes
`config.local_steps` updates on rows of its own, all at once on a mapped axis, with
`config.local_optimizer`, whose state starts anew; then means over the clients, by their
numbers of rows, take the place of parameters and statistics. Between rounds there are
no others, so that a stopped run goes on exactly.

What the loop's optimizer gets as gradient is the shared parameters less that mean:
`optax.sgd` at rate 1 makes plain averaging (FedAvg), and other optimizers those of a
server (FedOpt). The metric "grad_norm" is how far a round moves.

Batches are of `data.splits.clients`: config.batch_size rows are those of every client,
and of every one its steps, one after another. `make` averages any experiment, FedX is
`make_relational`, FedLabel `make_selective`.

Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from
Decentralized Data", 2017, algorithm 1, https://arxiv.org/abs/1602.05629; Reddi et al.,
"Adaptive Federated Optimization", 2021, algorithm 1, https://arxiv.org/abs/2003.00295.
There some clients take part in a round, each for epochs of its own; here all do, for as
many steps.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments import supervised, two_view
from experiments.autoencoder import observed
from repr_jax import optim
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.ops import ema


def make(config) -> Experiment:
    """Reads client, num_clients, local_steps, local_optimizer, and what `client` reads.

    `config.client` is the `make` of an experiment of one loss, such as `two_view.make`;
    its schedules count local steps, and what else it keeps must be floats, as it is
    averaged too. Its terms are not logged.
    """
    client = config.client(config)

    def local_loss(params, extras, shared, batch, key, step):
        value, (extras, _) = client.loss(params, extras, batch, key, step)
        return value, extras

    return _averaged(config, client, local_loss)


def make_relational(config) -> Experiment:
    """FedX: as `make` of two views, which are drawn to the shared network as well.

    Of a client's rows in a step, the first half has two views and the other half is
    what they are related to. `config.loss` is called as loss(projections, projections,
    where=...), of both views, and of the predictions of the first and the shared
    network's projections of the second; `config.relations` as relations(view_a, view_b,
    anchors, where=..., anchors_where=...), of projections and the client's own anchors,
    and of predictions and the shared ones. The four are added up.
    """
    client, of_images = two_view.make(config), two_view.views(config)
    model = two_view.joint_embedding(config)
    contrast = bind(config.loss, "config.loss")
    relate = bind(config.relations, "config.relations")

    def local_loss(params, extras, shared, batch, key, step):
        images, where = observed(batch)
        (images, others), where = jnp.split(images, 2), jnp.split(where, 2)
        keys, own, known = jax.random.split(key), [], []
        for view in (*of_images(keys[0], images), of_images(keys[1], others)[0]):
            out, extras = two_view.embed(model, params, extras, view)
            own.append(out)
            known.append(model.apply(shared, view, train=False).projection)
        a, b, anchors = own
        rows, both = {"where": where[0]}, {"where": where[0], "anchors_where": where[1]}
        value = contrast(a.projection, b.projection, **rows)
        value += contrast(a.prediction, known[1], **rows)
        value += relate(a.projection, b.projection, anchors.projection, **both)
        return value + relate(a.prediction, b.prediction, known[2], **both), extras

    return _averaged(config, client, local_loss)


def make_selective(config) -> Experiment:
    """FedLabel: as `make` of a classifier, where most labels come from two networks.

    Labels are known where `batch["labeled"]`. `config.loss` is called as loss(logits,
    labels, where=...) of these rows; of the others `config.selection` as
    selection(local, shared, strong, where=...) and `config.agreement` as
    agreement(local, shared, where=...), of logits of the client and of the shared
    network for x as `config.augment` changes it, and of the client's for x as
    `config.strong_augment` does. The three are added up.
    """
    client = supervised.make(config)
    encoder = bind(config.encoder, "config.encoder")()
    model = supervised.Classifier(encoder, config.num_classes)
    weaken, strengthen, supervise, select, agree = (
        bind(config[name], f"config.{name}")
        for name in ("augment", "strong_augment", "loss", "selection", "agreement")
    )

    def local_loss(params, extras, shared, batch, key, step):
        x, where = observed(batch, config.entry)
        keys, own = jax.random.split(key), []
        weak, strong = weaken(keys[0], x), strengthen(keys[1], x)
        for view in (weak, strong):
            (_, logits), extras = two_view.embed(model, params, extras, view)
            own.append(logits)
        known = model.apply(shared, weak, train=False)[1]
        free = {"where": where & ~batch["labeled"]}
        value = supervise(own[0], batch["label"], where=where & batch["labeled"])
        value += select(own[0], known, own[1], **free)
        return value + agree(own[0], known, **free), extras

    return _averaged(config, client, local_loss)


def average_clients(
    loss: Callable,
    params,
    extras,
    data,
    key,
    *,
    sizes,
    optimizer,
    num_steps: int,
    after_update: Callable | None = None,
):
    """One round: the means of params and extras after it, and of the clients' losses.

    Args:
      loss: (params, extras, data of one client, key, step) -> [] loss, extras.
      params, extras: where every client starts; extras of floats.
      data: a tree of arrays whose axis 0 is the clients.
      key: PRNG key, split over the clients.
      sizes: [clients], by which means are weighted.
      optimizer, num_steps, after_update: as of `optim.descend`.
    """

    def of_client(data, key):
        state = optim.start_descent(
            params, optimizer, num_steps=num_steps, extras=extras
        )
        state = optim.descend(
            lambda params, extras, key, step: loss(params, extras, data, key, step),
            state,
            key=key,
            optimizer=optimizer,
            until=num_steps,
            after_update=after_update,
        )
        return state.params, state.extras, jnp.mean(state.losses)

    keys = jax.random.split(key, len(sizes))
    return ema.average(jax.vmap(of_client)(data, keys), sizes)


def _averaged(config, client: Experiment, local_loss: Callable) -> Experiment:
    """The experiment of rounds of `client`, whose loss is `local_loss` instead.

    local_loss: (params, extras, shared variables, batch, key, step) -> loss, extras.
    """
    _check(config, client)
    optimizer = bind(config.local_optimizer, "config.local_optimizer")()
    num_clients, local_steps = config.num_clients, config.local_steps

    def loss(params, extras, batch, key, step):
        rows = dict(batch)
        sizes = rows.pop("client_sizes")
        rows = jax.tree.map(
            lambda x: x.reshape(num_clients, local_steps, -1, *x.shape[1:]), rows
        )
        start, extras = jax.lax.stop_gradient((params, extras))
        shared, first = {"params": start, **extras}, step * local_steps

        def of_step(params, extras, rows, key, n):
            batch = jax.tree.map(lambda x: x[n], rows)
            return local_loss(params, extras, shared, batch, key, first + n)

        def after_update(params, extras, n):
            return params, client.after_update(params, extras, first + n)

        mean, extras, value = average_clients(
            of_step,
            *(start, extras, rows, key),
            sizes=sizes,
            optimizer=optimizer,
            num_steps=local_steps,
            after_update=after_update,
        )
        return value + _pull(params, start, mean), (extras, {})

    return Experiment(client.init, loss, client.outputs)


def _pull(params, start, mean):
    """0, whose gradient is params less mean; `start` is params without gradient."""
    terms = jax.tree.map(
        lambda p, s, m: jnp.sum((s - m) * (p - s)), params, start, mean
    )
    return sum(jax.tree.leaves(terms))


def _check(config, client):
    """ValueError for what has no rounds, or batches that clients cannot share."""
    if not callable(client.loss):
        raise ValueError(
            "config.client: expected an experiment of one loss; got those of "
            f"{', '.join(client.loss)}."
        )
    if config.accumulate != 1:
        raise ValueError(
            "config.accumulate: expected 1, as a batch in parts has rows of too few "
            f"clients in each; got {config.accumulate}."
        )
    each = config.num_clients * config.local_steps
    if config.batch_size % each:
        raise ValueError(
            "config.batch_size: expected a multiple of num_clients times local_steps "
            f"({each}); got {config.batch_size}."
        )
