"""MoPoE-VAE on pictures with ten captions each: CUB or its stand-in.

python -m repr_jax.main --config=configs/multimodal/mopoe_captions.py \
    --workdir=runs/mopoe_captions
That is on scenes of digits on photographs, tested on pairs of digit and photograph that
are not in training, see `data.scenes`. Layers are those of MMVAE on CUB, see
`models.vae_sentence` for what is not. For CUB, in the published files, a config of a
few lines takes this one, sets config.dataset = dict(fn=cub.load, path="DIR"), the
number of words `len(cub.words_of("DIR"))` of both networks of text, and `cub.EOS` as
the end in the likelihood and in the report. Its test species are not in training, so no
classifier can judge what is generated: such a config leaves out the evaluators
coherence, attributes and attribute_probe.
Expect: not yet run.
"""

import flax.linen as nn

from configs.multimodal import mopoe_scenes
from configs.multimodal.mopoe_mnist_svhn_text import fused, judged
from repr_jax.data import captions, scenes
from repr_jax.models import vae_layers, vae_sentence
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_scenes.get_config(mode)
    smoke, words = mode == "smoke", scenes.vocabulary().words
    config.dataset.fn = scenes.with_captions
    config.dataset.num_captions = 1 if smoke else 10
    config.latent_dim = 4 if smoke else 64  # published for CUB
    if not smoke:
        config.encoders.image.layers = vae_layers.BIRD
        config.decoders.image.layers = vae_layers.BIRD_BACK
    config.decoders.image.output = nn.sigmoid
    widths = (4, 4, 8) if smoke else (32, 64, 128)
    config.encoders.text = dict(
        fn=vae_sentence.SentenceEncoder,
        latent_dim=config.get_ref("latent_dim"),
        num_words=len(words),
        widths=widths,
    )
    config.decoders.text = dict(
        fn=vae_sentence.SentenceDecoder, num_words=len(words), widths=widths[::-1]
    )
    pixels = dict(fn=likelihood.laplace, scale=0.1)  # published: 0.01 by a code
    fused(config, (pixels, dict(fn=likelihood.words, end=captions.EOS)))
    config.loss.likelihood_weights = (1.0, 10.0)  # ours
    judged(config, smoke=smoke)
    read = dict(fn=captions.sentences, vocabulary=words, end=captions.EOS)
    config.evals.samples.read = dict(text=read)
    if smoke:  # others are tried where networks are smaller
        del config.evals.likelihood, config.evals.linear_probe
        del config.evals.reconstruction
    return config
