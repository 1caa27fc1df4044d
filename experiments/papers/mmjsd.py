"""Multimodal Jensen-Shannon divergence: MVAE, MMVAE and mmJSD side by side.

  python -m experiments.papers.mmjsd --scale=cpu --workdir=DIR

Parts, all of them unless --only names some:
  polymnist  five views, as the MVTCAE paper reports it.
  digits     MNIST-SVHN-Text, the paper's own, with and without private latents. House
             numbers are drawn unless tensorflow-datasets has prepared SVHN in
             --data_dir.
Three seeds: a linear probe of the latents and the coherence of what is generated, and
log-likelihoods. Writes DIR/mmjsd.json and .md, DIR/mmjsd.csv and pictures. Finished
runs are not repeated, also those of `multimodal_vae_limits` and `mopoe` in the same
DIR. Scales: paper, the published sizes; cpu, 5,000 steps, of polymnist small
networks and softer photographs; smoke, two steps of every run.

Source: Sutter, Daunhawer and Vogt, "Multimodal Generative Learning Utilizing Jensen-
  Shannon-Divergence", 2020, https://arxiv.org/abs/2006.08242.
"""

import sys

from experiments.papers import multimodal_vaes, text_modalities

MODELS = ("MVAE", "MMVAE", "mmJSD")
PUBLISHED = {
    "accuracy": {
        "MVAE": (0.85, 0.20, 0.58, 0.80, 0.92, 0.46, 0.90),
        "MMVAE": (0.96, 0.81, 0.99, 0.89, 0.97, 0.90, 0.93),
        "mmJSD": (0.97, 0.82, 0.99, 0.93, 0.99, 0.92, 0.98),
        "MVAE (MS)": (0.86, 0.28, 0.78, 0.82, 0.94, 0.64, 0.92),
        "MMVAE (MS)": (0.96, 0.81, 0.99, 0.89, 0.98, 0.91, 0.92),
        "mmJSD (MS)": (0.98, 0.85, 0.99, 0.94, 0.98, 0.94, 0.99),
    },
    "coherence": {
        "MVAE": (0.17, 0.14, 0.22, 0.37, 0.30, 0.86, 0.20, 0.12, 0.22),
        "MMVAE": (0.82, 0.99, 0.91, 0.32, 0.30, 0.31, 0.96, 0.83, 0.90),
        "mmJSD": (0.82, 0.99, 0.95, 0.37, 0.36, 0.48, 0.97, 0.83, 0.92),
        "mmJSD (MS)": (0.80, 0.97, 0.93, 0.89, 0.93, 0.92, 0.92, 0.79, 0.86),
    },
    "likelihood": {
        "MVAE": (-1864,),
        "MMVAE": (-1916,),
        "mmJSD": (-1961,),
        "MVAE (MS)": (-1870,),
        "MMVAE (MS)": (-1893,),
        "mmJSD (MS)": (-1900,),
    },
}
PARTS = {
    "polymnist": multimodal_vaes.comparison(MODELS, "polymnist", "mmjsd"),
    "digits": text_modalities.digits(tuple(PUBLISHED["accuracy"]), PUBLISHED, "mmjsd"),
}


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    return multimodal_vaes.command(
        arguments,
        name="mmjsd",
        doc=__doc__,
        title="Multimodal Jensen-Shannon divergence: MVAE, MMVAE, mmJSD",
        parts=PARTS,
    )


if __name__ == "__main__":
    sys.exit(main())
