"""Images of which most patches are hidden, an encoder of the rest, and a decoder.

MAE. A batch has `image` and may have `where`, the rows that are present; absent ones
are encoded as zeros and take no part in the loss.
"""

import jax
import jax.numpy as jnp

from experiments.autoencoder import observed
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.ops.patches import patchify, random_patches


def make(config) -> Experiment:
    """Reads augment, encoder, decoder, loss, hidden_share, and target if there is one.

    `config.encoder` is called with keep=..., the places of the visible patches, as
    `vit.ViT`, and `config.decoder` with its tokens and keep, as `vit.MaskedDecoder`.
    `config.hidden_share`, in (0, 1), of an image's patches are hidden, drawn anew for
    each image and step. `config.target` maps patches to what is predicted, such as
    `reconstruction.normalized_patches`; without it pixels are. `config.loss` is called
    as loss(predictions, targets, hidden, where=...). Represents whole images by the
    mean over patches of what the encoder returns.
    """
    augment = bind(config.augment, "config.augment")
    encoder = bind(config.encoder, "config.encoder")()
    decoder = bind(config.decoder, "config.decoder")()
    loss_fn = bind(config.loss, "config.loss")
    target = bind(config.target, "config.target") if "target" in config else None
    if not 0 < config.hidden_share < 1:
        raise ValueError(
            f"config.hidden_share: expected a number in (0, 1); got "
            f"{config.hidden_share}."
        )

    def visible(key, patches):
        """[batch, kept] int32 places of patches, and which are hidden, bool."""
        batch, num_patches, _ = patches.shape
        num_kept = max(1, int(num_patches * (1 - config.hidden_share)))
        keep = random_patches(key, batch, num_patches, num_kept)
        rows = jnp.arange(batch)[:, None]
        hidden = jnp.ones((batch, num_patches), bool).at[rows, keep].set(False)
        return keep, hidden

    def init(key, batch):
        keys = jax.random.split(key, 3)
        image = augment(keys[0], observed(batch)[0])
        keep, _ = visible(keys[0], patchify(image, encoder.patch_size))
        out, encoded = encoder.init_with_output(keys[1], image, train=False, keep=keep)
        decoded = decoder.init(keys[2], out.tokens, keep, train=False)
        return {"encoder": encoded["params"], "decoder": decoded["params"]}, {}

    def loss(params, extras, batch, key, step):
        image, where = observed(batch)
        augment_key, key = jax.random.split(key)
        image = augment(augment_key, image)
        patches = patchify(image, encoder.patch_size)
        keep, hidden = visible(key, patches)
        encoded = encoder.apply(
            {"params": params["encoder"]}, image, train=True, keep=keep
        )
        decoded = decoder.apply(
            {"params": params["decoder"]}, encoded.tokens, keep, train=True
        )
        wanted = patches if target is None else target(patches)
        return loss_fn(decoded, wanted, hidden, where=where), (extras, {})

    def represent(params, extras, batch, key):
        image, _ = observed(batch)
        encoded = encoder.apply({"params": params["encoder"]}, image, train=False)
        return jnp.mean(encoded.tokens[:, 1:], axis=1)  # without the class token

    return Experiment(init, loss, {"represent": represent})
