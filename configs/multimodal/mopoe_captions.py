"""MoPoE-VAE on pictures with ten captions each: CUB or its stand-in.

python -m repr_jax.main --config=configs/multimodal/mopoe_captions.py \
    --workdir=runs/mopoe_captions
That is on scenes of digits on photographs, tested on pairs of digit and photograph that
are not in training, see `data.scenes`. For CUB, in the published files, a config of a
few lines takes this one, sets config.dataset = dict(fn=cub.load, path="DIR") and gives
both networks of text the words of the folder, `len(cub.words_of("DIR"))`, by
`mopoe_scenes.networks`, and the likelihood and the report their end, `cub.EOS`. Its
test species are not in training, so no classifier can judge what is generated: such a
config leaves out the evaluators coherence, attributes and attribute_probe. All settings
are ours but the latent's size and the scale.
Expect: not yet run.
"""

from configs.multimodal import mopoe_scenes
from configs.multimodal.mopoe_mnist_svhn_text import fused, judged
from repr_jax.data import captions, scenes
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_scenes.get_config(mode)
    config.dataset.fn = scenes.with_captions
    config.dataset.num_captions = 1 if mode == "smoke" else 10
    config.latent_dim = 4 if mode == "smoke" else 64  # published for CUB
    words = scenes.vocabulary().words
    mopoe_scenes.networks(
        config,
        length=scenes.NUM_WORDS,
        letters=len(words),
        smoke=mode == "smoke",
    )
    pixels = dict(fn=likelihood.laplace, scale=0.1)  # published: 0.01 by a code
    fused(config, (pixels, dict(fn=likelihood.words, end=captions.EOS)))
    config.loss.likelihood_weights = (1.0, 10.0)
    judged(config, smoke=mode == "smoke")
    read = dict(fn=captions.sentences, vocabulary=words, end=captions.EOS)
    config.evals.samples.read = dict(text=read)
    return config
