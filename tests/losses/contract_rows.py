"""How to draw the arrays of every loss in losses.__all__, and how to call it on them.

A row names the arrays that a loss takes, batch axis first, and the function of
`contract_calls` that hands them over; `test_contract.py` holds what is true of all.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from repr_jax.ops import laplace, subsets
from tests.losses import contract_calls as calls
from tests.losses.contract_calls import DIM


class Row(NamedTuple):
    call: Callable  # loss, arrays, decoder [DIM, 3], **where and axis_name -> scalar
    shapes: dict[str, tuple[int, ...]]  # of one row of each array
    modalities: int | None = None  # of `where`, if it has an axis of them


UNIMODAL = {"x": (3,), "mean": (DIM,), "log_var": (DIM,)}
THREE = {"input0": (1,), "input1": (2,), "input2": (3,)}
THREE |= {"mean": (3, DIM), "log_var": (3, DIM)}
VIEWS = {"view_a": (DIM,), "view_b": (DIM,)}
CAPTIONED = {"images": (DIM,), "texts": (DIM,)}
QUERIES = {"queries": (DIM,), "keys": (DIM,)}
SEQUENCES = {"predictions": (3, 2, DIM), "latents": (3, DIM)}
TRIPLETS = {"anchors": (DIM,), "positives": (DIM,), "negatives": (DIM,)}
BLOCKS = TRIPLETS | {"negatives": (3, DIM)}
LABELED = {"x": (DIM,), "label": ()}
UPDATED = {"new": (DIM,), "old": (DIM,), "label": ()}
BRANCHING = {"x": (3,), "decoded": (2, 3), "logits": (3,), "prior_logits": (3,)}
BRANCHING |= {"mean": (3, DIM), "log_var": (3, DIM)}
BRANCHING |= {"prior_mean": (3, DIM), "prior_log_var": (3, DIM)}
LAYERS = {"layer0": (2, 2, 3), "layer1": (1, 2, DIM)}
LAYERS |= {f"target_{name}": shape for name, shape in LAYERS.items()}
RESTORED = {"images": (2, 3), "targets": (2, 3), "offsets": (2, DIM)} | LAYERS
LEAVES = {"first": (DIM,), "second": (DIM,), "third": (DIM,), "similarities": (3,)}
NEIGHBORS = {"online_a": (2, 3), "online_b": (2, 3)}
NEIGHBORS |= {"target_a": (2, 3), "target_b": (2, 3)}
MEANS = np.array([[0.5, 0.0], [-0.5, 1.0]], "f")
COUNTS = np.array([20, 3])
GAUSSIANS = dict(means=MEANS, covariances=np.stack([np.eye(DIM)] * 2).astype("f"))
PASTED = {name: (2, 2, 3) for name in ("logits", "label", "index")}
MASKS = {"label": (3,), "index": (3,)}
PREDICTED = {"predictions": (DIM,), "targets": (DIM,)}
CROPS = {"online": (3, 3), "targets": (2, 3)}
FRESH = VIEWS | {"negatives_a": (DIM,), "negatives_b": (DIM,)}
TWO = {"input0": (1,), "input1": (2,), "mean": (2, DIM), "log_var": (2, DIM)}
OWN = {f"private_{n}{m}": (1,) for n in ("mean", "log_var") for m in range(2)}
JOINT = {"joint_mean": (DIM,), "joint_log_var": (DIM,)}
EXPERTS = {"mean": (3, DIM), "log_var": (3, DIM)}
CONDITIONAL = UNIMODAL | {"prior_mean": (DIM,), "prior_log_var": (DIM,)}
PLUS = dict(auxiliary=(np.zeros(1, "f"), np.ones(1, "f")), num_samples=2)
EVENTS = {"scores": (), "negative_scores": (3,)}
EVENTS |= {"log_noise": (), "negative_log_noise": (3,)}
SPHERES = {"features": (3,), "attributes": (DIM,), "label": (), "logits": (2, 2)}
SPHERES |= {"decoded_features": (2, 3), "decoded_attributes": (2, DIM)}
SPHERES |= {"feature_samples": (3, DIM), "attribute_samples": (3, DIM)}
CASCADE = {"x": (2, 3), "reconstruction": (2, 3), "mean": (1,), "log_var": (1,)}
CASCADE |= {"second_mean": (DIM,), "second_log_var": (DIM,)}
KEPT = {"remain": (DIM,), "forget": (DIM,)}
REBUILT = {"remain_reconstructed": (DIM,), "forget_reconstructed": (DIM,)}
ORIGINAL = {"remain_original": (DIM,), "forget_original": (DIM,)}
ROWS = {
    "elbo": Row(calls.unimodal, UNIMODAL),
    "hierarchical_elbo": Row(calls.layered, UNIMODAL),
    "free_nats": Row(calls.of_posterior, {"mean": (DIM,), "log_var": (DIM,)}),
    "iwae": Row(partial(calls.unimodal, num_samples=2), UNIMODAL),
    "dreg": Row(partial(calls.unimodal, num_samples=2), UNIMODAL),
    "mvae": Row(partial(calls.multimodal, num_subsets=1), THREE, 3),
    "moe_elbo": Row(partial(calls.multimodal, distribution=laplace), TWO, 2),
    "mmvae": Row(partial(calls.multimodal, num_samples=2), TWO, 2),
    "mmvae_iwae": Row(
        partial(calls.multimodal, num_samples=2, distribution=laplace), TWO, 2
    ),
    "mmvae_tight": Row(partial(calls.multimodal, num_samples=2), TWO, 2),
    "mopoe": Row(partial(calls.multimodal, draw=subsets.stratified), THREE, 3),
    "mvtcae": Row(calls.multimodal, THREE, 3),
    "mmjsd": Row(calls.multimodal_private, TWO | OWN, 2),
    "mmjsd_arithmetic": Row(calls.multimodal, THREE, 3),
    "crmvae": Row(calls.multimodal, THREE, 3),
    "mmvm": Row(calls.multimodal, THREE, 3),
    "mmvm_mixture": Row(partial(calls.multimodal, standard_weight=0.25), TWO, 2),
    "nexus_top": Row(calls.upper, {f"latent{m}": (m + 1,) for m in range(3)}, 3),
    "mhvae": Row(partial(calls.multimodal, conditionals=2 * (calls.below,)), THREE, 3),
    "fused_elbo": Row(calls.multimodal, THREE, 3),
    "consensus_elbo": Row(
        partial(calls.multimodal, logits=np.arange(7.0, dtype="f")), THREE, 3
    ),
    "masked_elbo": Row(calls.multimodal, THREE, 3),
    "jmvae": Row(calls.multimodal_joint, THREE | JOINT, 3),
    "unimodal_elbo": Row(calls.multimodal, THREE, 3),
    "joint_to_unimodal": Row(calls.experts_alone, EXPERTS | JOINT, 3),
    "cvae": Row(calls.conditional, CONDITIONAL),
    "dmvae": Row(calls.multimodal_private, TWO | OWN, 2),
    "mmvae_plus": Row(partial(calls.multimodal_private, **PLUS), TWO | OWN, 2),
    "mmvae_plus_dreg": Row(partial(calls.multimodal_private, **PLUS), TWO | OWN, 2),
    "mmvae_plus_tight": Row(partial(calls.multimodal_private, **PLUS), TWO | OWN, 2),
    "info_nce": Row(calls.embeddings, QUERIES),
    "symmetric_info_nce": Row(calls.embeddings, VIEWS),
    "nt_xent": Row(calls.embeddings, VIEWS),
    "clip": Row(calls.embeddings, CAPTIONED),
    "siglip": Row(calls.embeddings, CAPTIONED),
    "fresh_negatives_nce": Row(calls.fresh_negatives, FRESH),
    "pairwise": Row(calls.modalities, {f"view{m}": (DIM,) for m in range(3)}, 3),
    "dcl": Row(calls.embeddings, VIEWS),
    "dcl_weighted": Row(calls.embeddings, VIEWS),
    "debiased": Row(calls.embeddings, VIEWS),
    "hard_negative": Row(calls.embeddings, VIEWS),
    "macl": Row(calls.embeddings, VIEWS),
    "co2": Row(calls.queued, QUERIES),
    "detcon_s": Row(calls.masked_regions, {name: (3, DIM) for name in VIEWS} | MASKS),
    "detcon_b": Row(
        calls.masked_regions,
        {f"{kind}_{side}": (3, DIM) for kind in ("online", "targets") for side in "ab"}
        | MASKS,
    ),
    "dense_structure": Row(calls.clustered_patches, {"patches": (3, DIM)} | MASKS),
    "spectral_contrastive": Row(calls.embeddings, VIEWS),
    "alignment": Row(calls.embeddings, VIEWS),
    "uniformity": Row(calls.embeddings, {"x": (DIM,)}),
    "alignment_uniformity": Row(calls.embeddings, VIEWS),
    "barlow_twins": Row(calls.embeddings, VIEWS),
    "tico": Row(partial(calls.embeddings, covariance=np.eye(DIM, dtype="f")), VIEWS),
    "mmcr": Row(partial(calls.heads, local_weight=0.3), {"views": (2, DIM)}),
    "wmse": Row(partial(calls.heads, shrinkage=0.1), {"views": (3, DIM)}),
    "emp_ssl": Row(calls.heads, {"views": (3, DIM)}),
    "frossl": Row(calls.heads, {"views": (3, DIM)}),
    "vicreg_local": Row(
        partial(calls.embeddings, num_matches=(2, 1)),
        {"patches_a": (3, DIM), "patches_b": (2, DIM)}
        | {"places_a": (3, 2), "places_b": (2, 2)},
    ),
    "deep_cca": Row(calls.embeddings, VIEWS),
    "vicreg": Row(calls.embeddings, VIEWS),
    "vicreg_invariance": Row(calls.embeddings, VIEWS),
    "vicreg_variance": Row(calls.embeddings, {"x": (DIM,)}),
    "vicreg_covariance": Row(calls.embeddings, {"x": (DIM,)}),
    "negative_cosine": Row(calls.embeddings, PREDICTED),
    "byol": Row(calls.embeddings, PREDICTED),
    "cross_view": Row(calls.heads, CROPS),
    "dino": Row(partial(calls.heads, center=calls.MARGINAL[0]), CROPS),
    "swav": Row(calls.prototyped, {"views": (3, DIM)}),
    "msn": Row(calls.masked_views, {"anchors": (2, DIM), "targets": (DIM,)}),
    "masked_patches": Row(calls.hiding, {"predictions": (2, 3), "patches": (2, 3)}),
    "psp": Row(calls.restored, RESTORED),
    "cross_entropy": Row(calls.labeled, LABELED),
    "swapped_cross_entropy": Row(calls.labeled, LABELED),
    "logit_adjusted": Row(partial(calls.labeled, counts=COUNTS), LABELED),
    "ldam": Row(partial(calls.labeled, counts=COUNTS), LABELED),
    "generalized_cross_entropy": Row(calls.labeled, LABELED),
    "gaussian_affinity": Row(partial(calls.labeled, **GAUSSIANS), LABELED),
    "focal_binary": Row(partial(calls.binary, alpha=0.3), {"logits": (), "label": ()}),
    "fixmatch": Row(
        partial(calls.embeddings, threshold=0.5), {"weak": (3,), "strong": (3,)}
    ),
    "selective_pseudo_label": Row(
        partial(calls.embeddings, threshold=0.5),
        {"local_weak": (3,), "global_weak": (3,), "strong": (3,)},
    ),
    "agreeing_kl": Row(calls.embeddings, {"local_logits": (3,), "global_logits": (3,)}),
    "pseudo_class": Row(
        partial(calls.embeddings, entropy_weight=0.7),
        {"images": (3,), "captions": (3,)},
    ),
    "robust_hinge": Row(
        partial(calls.embeddings, norm=np.float32(1.5), gamma=0.8), {"margins": ()}
    ),
    "copy_paste": Row(calls.pasted, PASTED),
    "class_dice": Row(calls.pasted, PASTED),
    "region_cross_entropy": Row(calls.pasted, PASTED),
    "rare_prototypes": Row(calls.rare, {"online": (3,), "targets": (3,)}),
    "relation_distillation": Row(calls.embeddings, {"online": (3,), "targets": (2,)}),
    "channel_distillation": Row(calls.embeddings, {"online": (3,), "targets": (3,)}),
    "soft_margin_ranking": Row(calls.embeddings, VIEWS | {"clean": ()}),
    "soft_margin_ranking_average": Row(calls.embeddings, VIEWS | {"clean": ()}),
    "soft_cross_entropy": Row(calls.embeddings, {"logits": (3,), "targets": (3,)}),
    "evidential_cross_entropy": Row(calls.evident, LABELED),
    "outlier_exposure": Row(calls.exposed, LABELED | {"outliers": (DIM,)}),
    "mixture_outlier_exposure": Row(calls.mixed, LABELED | {"mixed": (DIM,)}),
    "energy_margins": Row(
        partial(calls.exposed, inlier_margin=-1.0, outlier_margin=0.5),
        LABELED | {"outliers": (DIM,)},
    ),
    "energy_margin_outliers": Row(calls.wild, LABELED | {"outliers": (DIM,)}),
    "background_outliers": Row(
        calls.cells, {"x": (2, 1, 3), "id_logits": (2, 1), "label": ()}
    ),
    "textual_outliers": Row(calls.prompted, {"inliers": (DIM,), "outliers": (DIM,)}),
    "discriminative": Row(partial(calls.labeled, num_classes=2), LABELED),
    "flow_con": Row(calls.paired, LABELED),
    "palm": Row(calls.mixture, {"z": (DIM,), "weights": (3,)}),
    "gan_discriminator": Row(calls.embeddings, {"real": (), "fake": ()}),
    "gan_generator": Row(calls.embeddings, {"fake": ()}),
    "hinge_discriminator": Row(calls.embeddings, {"real": (), "fake": ()}),
    "hinge_generator": Row(calls.embeddings, {"fake": ()}),
    "noise_prediction": Row(
        calls.embeddings, {"predictions": (2, DIM), "noise": (2, DIM)}
    ),
    "score_matching": Row(
        calls.embeddings, {"scores": (2, DIM), "noise": (2, DIM), "sigma": ()}
    ),
    "gradient_penalty": Row(calls.embeddings, {"gradients": (2, DIM)}),
    "sup_con": Row(calls.labeled, LABELED),
    "dynamic_soft_margin": Row(
        partial(calls.embeddings, histogram=np.full(21, 1 / 21, "f"), decay=0.5), VIEWS
    ),
    "triplet": Row(calls.embeddings, TRIPLETS),
    "triplet_hardest": Row(calls.labeled, LABELED),
    "triplet_semi_hard": Row(calls.labeled, LABELED),
    "triplet_all": Row(calls.labeled, LABELED),
    "cosface": Row(calls.with_prototypes, LABELED),
    "arcface": Row(calls.with_prototypes, LABELED),
    "madacos": Row(calls.with_prototypes, LABELED),
    "sphereface": Row(calls.with_prototypes, LABELED),
    "sub_center_arcface": Row(calls.with_centers, LABELED),
    "soft_triple": Row(calls.with_centers, LABELED),
    "proxy_anchor": Row(calls.with_prototypes, LABELED),
    "manifold_similarity": Row(
        partial(calls.with_prototypes, temperature=0.5), LABELED
    ),
    "unified_negatives": Row(calls.with_prototypes, LABELED),
    "contrastive_margin": Row(calls.labeled, LABELED),
    "multi_similarity": Row(calls.labeled, LABELED),
    "circle": Row(partial(calls.labeled, scale=4.0), LABELED),  # values not of hundreds
    "nca": Row(calls.labeled, LABELED),
    "lifted_structure": Row(calls.labeled, LABELED),
    "angular": Row(calls.labeled, LABELED),
    "generalized_lifted": Row(calls.labeled, LABELED),
    "tuplet_margin": Row(partial(calls.labeled, scale=4.0), LABELED),
    "intra_pair_variance": Row(calls.labeled, LABELED),
    "pair_hinge": Row(calls.labeled, LABELED),
    "histogram": Row(partial(calls.labeled, num_bins=10), LABELED),
    "pnp": Row(partial(calls.labeled, temperature=0.3), LABELED),
    "ranked_list": Row(calls.labeled, LABELED),
    "distance_margin": Row(calls.embeddings, TRIPLETS),
    "smooth_ap": Row(partial(calls.labeled, temperature=0.3), LABELED),
    "fast_ap": Row(calls.labeled, LABELED),
    "triplet_ratio": Row(calls.embeddings, TRIPLETS),
    "local_triplet": Row(
        calls.embeddings,
        {name: (3, DIM) for name in ("queries", "positives", "negatives")}
        | {"attention": (3,)},
    ),
    "gist": Row(
        calls.embeddings,
        QUERIES
        | {f"guide_{name}": (3,) for name in ("queries", "keys", "negatives")}
        | {"negatives": (DIM,)},
    ),
    "focal_info_nce": Row(calls.embeddings, QUERIES | {"negatives": (2, DIM)}),
    "block_contrastive": Row(calls.embeddings, BLOCKS | {"positives": (2, DIM)}),
    "many_negatives": Row(calls.embeddings, BLOCKS),
    "nwj": Row(calls.scored, {"x": (DIM,)}),
    "donsker_varadhan": Row(calls.scored, {"x": (DIM,)}),
    "jensen_shannon": Row(calls.scored, {"x": (DIM,)}),
    "moco": Row(calls.queued, QUERIES),
    "nnclr": Row(calls.queued, PREDICTED),
    "instance_discrimination": Row(calls.banked, {"x": (DIM,), "index": ()}),
    "instance_nce": Row(
        partial(calls.told_apart, normalizer=20.0), {"x": (DIM,), "index": ()}
    ),
    "inter_instance": Row(calls.told_apart, {"x": (DIM,), "index": ()}),
    "gated_pairs": Row(calls.gated, QUERIES | {"gates": (DIM,), "label": (2,)}),
    "relational_js": Row(calls.related, VIEWS | {"anchors": (DIM,)}),
    "masked_contrastive": Row(
        calls.hidden_steps, {"context": (3, DIM), "targets": (3, DIM), "label": (3,)}
    ),
    "ibot": Row(
        calls.hidden_steps, {"online": (3, 4), "targets": (3, 4), "label": (3,)}
    ),
    "patch_alignment": Row(
        calls.embeddings, {"online": (3, DIM), "targets": (3, DIM + 1)}
    ),
    "koleo": Row(calls.embeddings, {"x": (DIM,)}),
    "batch_barlow": Row(calls.heads, {name: (2, DIM) for name in PREDICTED}),
    "codebook_diversity": Row(calls.heads, {"probabilities": (2, 3)}),
    "local_dimension": Row(partial(calls.embeddings, num_neighbors=3), {"x": (DIM,)}),
    "sigreg": Row(
        partial(calls.embeddings, directions=np.eye(DIM, dtype="f")), {"x": (DIM,)}
    ),
    "visreg": Row(
        partial(calls.embeddings, directions=np.eye(DIM, dtype="f")), {"x": (DIM,)}
    ),
    "regular_face": Row(calls.embeddings, {"weights": (DIM,)}),
    "sparse_centers": Row(calls.embeddings, {"centers": (3, DIM)}),
    "soft_orthogonality": Row(
        partial(calls.embeddings, threshold=0.5), {"weights": (DIM,)}
    ),
    "hoc": Row(calls.labeled_by_name, UPDATED),
    "hoc_strict": Row(calls.labeled_by_name, UPDATED),
    "pair_match": Row(calls.matched, VIEWS | {"label": ()}),
    "similarity_calibration": Row(
        calls.embeddings,
        {f"{kind}_{side}": (3,) for kind in ("features", "codes") for side in "ab"},
    ),
    "code_quantization": Row(calls.embeddings, {"codes": (3,)}),
    "backward_compatible": Row(
        calls.compatible,
        {name: (DIM,) for name in ("features", "block", "old_features", "reference")}
        | {"label": ()},
    ),
    "cpc": Row(calls.embeddings, SEQUENCES),
    "temi": Row(partial(calls.heads, target_marginal=calls.MARGINAL), NEIGHBORS),
    "turtle": Row(calls.heads, {"task_logits": (2, 3), "inner_logits": (2, 3)}),
    "tree_elbo": Row(calls.branching, BRANCHING),
    "deep_ect": Row(
        calls.clustered, {"x": (3,), "decoded": (3,), "embeddings": (DIM,)}
    ),
    "hyphc": Row(partial(calls.embeddings, temperature=0.5), LEAVES),
    "sdm": Row(calls.supported, LABELED | {"num_matches": (), "closeness": ()}),
    "directional_pinball": Row(
        partial(calls.embeddings, level=0.1), {"projections": (3,), "quantiles": (3,)}
    ),
    "forget_extract": Row(calls.forgetting, KEPT | REBUILT),
    "forget_align": Row(calls.forgetting, KEPT | ORIGINAL),
    "soft_outlier": Row(
        partial(calls.embeddings, ratio=0.4), {"normal_loss": (), "anomaly_loss": ()}
    ),
    "event_nce": Row(calls.embeddings, EVENTS),
    "mean_shifted": Row(
        partial(calls.embeddings, center=calls.MARGINAL[0, :DIM], angular_weight=0.5),
        VIEWS,
    ),
    "prompt_orthogonality": Row(calls.embeddings, {"prompts": (DIM,)}),
    "aligned_spheres": Row(partial(calls.labeled_by_name, num_steps=3), SPHERES),
    "focal_balanced": Row(calls.masked_map, {"logits": (2, 3), "label": (2, 3)}),
    "dice": Row(calls.masked_map, {"logits": (2, 3), "label": (2, 3)}),
    "bucketed_nll": Row(
        partial(calls.embeddings, borders=np.array([-1, -0.5, 0.5, 1], "f")),
        {"logits": (3,), "y": ()},
    ),
    "cvad": Row(calls.embeddings, CASCADE),
    "flow_kl": Row(
        calls.embeddings,
        {name: (DIM,) for name in ("z", "bent", "mean", "log_var")} | {"log_det": ()},
    ),
}
