"""The limits of multimodal VAEs: what a bound over subsets of modalities must miss.

  python -m experiments.papers.multimodal_vae_limits --scale=cpu --workdir=DIR

Parts, all of them unless --only names some:
  exact       a linear Gaussian model in closed form: how far the best bound of a
              mixture of single modalities, of all subsets and of all together stays
              below E log p(x), and where training ends.
  polymnist   models on PolyMNIST, three seeds: quality against coherence.
  translated  the same with digits made smaller and moved about, which no other view
              can know.
  betas       polymnist again at other weights of the divergence: the curves of
              quality and coherence over beta.
Writes DIR/multimodal_vae_limits.json and .md, DIR/runs.csv and two pictures. Finished
runs are not repeated: the same command continues. Scales: paper, the published sizes;
cpu, small networks, photographs of 0.4 of their contrast and 5,000 steps; smoke, two
steps of every run.

Source: Daunhawer et al., "On the Limitations of Multimodal VAEs", 2022,
  https://arxiv.org/abs/2110.04121. Its text was not at hand: betas, number of seeds and
  the size of the digits on Translated-PolyMNIST are ours. Quality is a Fréchet distance
  on features of classifiers that the runs train, no FID: compare it within a table.
"""

import sys

import numpy as np

from experiments.papers import linear_gaussian, multimodal_rows, multimodal_vaes
from experiments.papers.multimodal_rows import Part
from experiments.results import store
from experiments.results.tables import Table
from repr_jax import losses
from repr_jax.ops import subsets

PRIVATE = (0.0, 1.0, 2.0, 4.0)  # how much of a view is its own
BETAS = {"paper": (3e-4, 3e-3, 0.3, 1.0, 3.0, 9.0), "cpu": (0.3, 3.0), "smoke": (3.0,)}


HEADER = (
    "private",
    "E log p(x)",
    "singles, closed form",
    "singles, trained",
    "all subsets, closed form",
    "all subsets, trained",
    "all subsets, products of experts, trained",
    "all together, closed form",
    "all together, trained",
)
EXACT = (
    "By how many nats the best bound stays below E log p(x), where two views share one "
    "latent and each has one of its own, of weight `private`: "
    "`experiments/papers/linear_gaussian.py`. Trained: singles by `losses.moe_elbo`; "
    "all subsets by `losses.elbo`, a posterior for each. The products of experts of "
    "`losses.mopoe` stay further below, since the posterior of both views has no "
    "parameters of its own."
)


def exact(own: float, num_steps: int) -> tuple:
    """A line of the first table: gaps of `linear_gaussian.two_views`, in nats."""
    model = linear_gaussian.two_views(own)
    members = subsets.non_empty(2)
    evidence = linear_gaussian.log_evidence(model)
    gaps = [linear_gaussian.gap(model, row) for row in members]

    def trained(loss, rows):
        encoders = linear_gaussian.train(model, loss, len(rows), num_steps=num_steps)
        return linear_gaussian.posteriors(model, encoders, rows)

    def missed(posteriors):
        bounds = [linear_gaussian.bound(model, one) for one in posteriors]
        return evidence - float(np.mean(bounds))

    free = trained(linear_gaussian.of_each_subset(model, members), members)
    single, product = (
        trained(linear_gaussian.of_experts(model, objective), members[:2])
        for objective in (losses.moe_elbo, losses.mopoe)
    )
    return (
        f"{own:g}",
        evidence,
        float(np.mean(gaps[:2])),
        missed(single),
        float(np.mean(gaps)),
        missed(free),
        missed(linear_gaussian.products(product)),
        gaps[-1],
        missed(free[-1:]),
    )


def write_exact(rows, found, asked) -> list:
    """The table of the linear Gaussian model."""
    num_steps = 2 if asked.scale == "smoke" else 3_000
    lines = [exact(own, num_steps) for own in PRIVATE]
    return [Table(HEADER, lines, (".4f",), title="exact"), EXACT]


def beta_rows(asked) -> list:
    """Every model at every beta on PolyMNIST; at the others one seed, but published."""
    main = multimodal_rows.MAIN_BETA[asked.scale]
    return [
        multimodal_rows.row(
            model,
            "polymnist",
            beta,
            asked,
            seeds=asked.seeds if beta == main or asked.scale == "paper" else 1,
        )
        for model in multimodal_rows.MODELS
        for beta in sorted({main, *BETAS[asked.scale]})
    ]


def write_betas(rows, found, asked) -> list:
    """The picture of quality against coherence, and its numbers."""
    columns = {
        "Fréchet distance": multimodal_rows.QUALITY,
        "coherence, one view given": multimodal_rows.COHERENCE,
    }
    picture = store.picture(
        asked.workdir,
        "pictures/multimodal_vaes_betas.png",
        "Quality against coherence over beta",
        multimodal_vaes.draw_quality(rows, found),
    )
    return [multimodal_vaes.columns_of(rows, found, columns, "betas"), picture]


def of_all(dataset: str) -> Part:
    """Every model on a dataset."""
    models = tuple(multimodal_rows.MODELS)
    return multimodal_vaes.comparison(models, dataset, "multimodal_vaes")


PARTS = {
    "exact": Part(lambda asked: [], write_exact),
    "polymnist": of_all("polymnist"),
    "translated": of_all("translated"),
    "betas": Part(beta_rows, write_betas),
}


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    return multimodal_vaes.command(
        arguments,
        name="multimodal_vae_limits",
        doc=__doc__,
        title="On the limitations of multimodal VAEs",
        parts=PARTS,
    )


if __name__ == "__main__":
    sys.exit(main())
