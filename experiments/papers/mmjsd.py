"""Multimodal Jensen-Shannon divergence: MVAE, MMVAE and mmJSD side by side.

  python -m experiments.papers.mmjsd --scale=cpu --workdir=DIR

Three seeds: a linear probe of the latents and the coherence of what is generated, by
the number of views given, and log-likelihoods. Writes DIR/mmjsd.json and .md,
DIR/mmjsd.csv and a picture. Finished runs are not repeated, also those of
`multimodal_vae_limits` in the same DIR. Scales: paper, the published sizes; cpu, small
networks and 5,000 steps; smoke, two steps of every run.

Source: Sutter, Daunhawer and Vogt, "Multimodal Generative Learning Utilizing Jensen-
  Shannon-Divergence", 2020, https://arxiv.org/abs/2006.08242. On PolyMNIST, as the
  MVTCAE paper reports it; the paper's own data are MNIST-SVHN-Text.
"""

import sys

from experiments.papers import multimodal_vaes

MODELS = ("MVAE", "MMVAE", "mmJSD")
PARTS = {"polymnist": multimodal_vaes.comparison(MODELS, "polymnist", "mmjsd")}


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    return multimodal_vaes.command(
        arguments,
        prog="python -m experiments.papers.mmjsd",
        doc=__doc__,
        title="Multimodal Jensen-Shannon divergence: MVAE, MMVAE, mmJSD",
        parts=PARTS,
    )


if __name__ == "__main__":
    sys.exit(main())
