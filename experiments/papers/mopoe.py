"""Generalized multimodal ELBO: MVAE, MMVAE and MoPoE-VAE side by side.

  python -m experiments.papers.mopoe --scale=cpu --workdir=DIR

On PolyMNIST, three seeds: a linear probe of the latents and the coherence of what is
generated, by the number of views given, and log-likelihoods. Writes DIR/mopoe.json and
.md, DIR/mopoe.csv and a picture. Finished runs are not repeated, also those of
`multimodal_vae_limits` in the same DIR. Scales: paper, the published sizes; cpu, small
networks and 5,000 steps; smoke, two steps of every run.

Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
  https://arxiv.org/abs/2105.02470. MMVAE is its Gaussian form with one sample, as in
  that paper's code. At --scale=cpu all have beta 1, ours; published is 2.5.
"""

import sys

from experiments.papers import multimodal_vaes

MODELS = ("MVAE", "MMVAE", "MoPoE")
PARTS = {"polymnist": multimodal_vaes.comparison(MODELS, "polymnist", "mopoe")}


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    return multimodal_vaes.command(
        arguments,
        prog="python -m experiments.papers.mopoe",
        doc=__doc__,
        title="Generalized multimodal ELBO: MVAE, MMVAE, MoPoE",
        parts=PARTS,
    )


if __name__ == "__main__":
    sys.exit(main())
