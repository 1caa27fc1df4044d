"""Generalized multimodal ELBO: MVAE, MMVAE and MoPoE-VAE side by side.

  python -m experiments.papers.mopoe --scale=cpu --workdir=DIR

Parts, all of them unless --only names some:
  polymnist   five views.
  digits      MNIST-SVHN-Text. House numbers are drawn unless tensorflow-datasets has
              prepared SVHN in --data_dir.
  attributes  pictures and their attributes in words, in place of CelebA.
Three seeds: a linear probe of the latents and the coherence of what is generated, and
log-likelihoods. Writes DIR/mopoe.json and .md, DIR/mopoe.csv and pictures. Finished
runs are not repeated, also those of `multimodal_vae_limits` and `mmjsd` in the same
DIR. Scales: paper, the published sizes, of `attributes` its steps alone; cpu, 5,000
steps, of polymnist and attributes small networks, of polymnist softer photographs;
smoke, two steps of every run.

Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
  https://arxiv.org/abs/2105.02470. MMVAE is its Gaussian form with one sample, as in
  that paper's code. At --scale=cpu polymnist has beta 1, ours; published is 2.5.
"""

import sys

from experiments.papers import multimodal_vaes, text_modalities

MODELS = ("MVAE", "MMVAE", "MoPoE")
PUBLISHED = {
    "accuracy": {
        "MVAE": (0.90, 0.44, 0.85, 0.89, 0.97, 0.81, 0.96),
        "MMVAE": (0.95, 0.79, 0.99, 0.87, 0.93, 0.84, 0.86),
        "MoPoE": (0.95, 0.80, 0.99, 0.97, 0.98, 0.99, 0.98),
    },
    "coherence": {
        "MVAE": (0.24, 0.20, 0.43, 0.43, 0.30, 0.75, 0.28, 0.17, 0.29),
        "MMVAE": (0.75, 0.99, 0.87, 0.31, 0.30, 0.30, 0.96, 0.76, 0.84),
        "MoPoE": (0.74, 0.99, 0.94, 0.36, 0.34, 0.37, 0.96, 0.76, 0.93),
    },
    "likelihood": {"MVAE": (-1790,), "MMVAE": (-1941,), "MoPoE": (-1819,)},
}
PARTS = {
    "polymnist": multimodal_vaes.comparison(MODELS, "polymnist", "mopoe"),
    "digits": text_modalities.digits(MODELS, PUBLISHED, "mopoe"),
    "attributes": text_modalities.attributes(MODELS),
}


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    return multimodal_vaes.command(
        arguments,
        name="mopoe",
        doc=__doc__,
        title="Generalized multimodal ELBO: MVAE, MMVAE, MoPoE",
        parts=PARTS,
    )


if __name__ == "__main__":
    sys.exit(main())
