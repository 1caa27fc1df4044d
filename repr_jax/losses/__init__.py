"""Losses: arrays in, one scalar out; jax and numpy are all they need."""

from repr_jax.losses.adversarial import (
    gan_discriminator,
    gan_generator,
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
)
from repr_jax.losses.classification import (
    cross_entropy,
    evidential_cross_entropy,
    soft_cross_entropy,
    swapped_cross_entropy,
)
from repr_jax.losses.classification_boundary import aligned_spheres
from repr_jax.losses.classification_centers import (
    soft_triple,
    sparse_centers,
    sub_center_arcface,
)
from repr_jax.losses.classification_contamination import soft_outlier
from repr_jax.losses.classification_imbalanced import (
    focal_binary,
    gaussian_affinity,
    generalized_cross_entropy,
    ldam,
    logit_adjusted,
)
from repr_jax.losses.classification_margins import arcface, cosface, madacos, sphereface
from repr_jax.losses.classification_outliers import (
    background_outliers,
    energy_margin_outliers,
    energy_margins,
    mixture_outlier_exposure,
    outlier_exposure,
    textual_outliers,
)
from repr_jax.losses.classification_pairs import pair_match
from repr_jax.losses.classification_pseudo import (
    agreeing_kl,
    fixmatch,
    pseudo_class,
    selective_pseudo_label,
)
from repr_jax.losses.classification_robust import robust_hinge
from repr_jax.losses.classification_segmentation import (
    class_dice,
    copy_paste,
    dice,
    focal_balanced,
    region_cross_entropy,
)
from repr_jax.losses.classification_similarity import sdm
from repr_jax.losses.clustering import temi, turtle
from repr_jax.losses.clustering_prototypes import palm, swav
from repr_jax.losses.clustering_tree import deep_ect, hyphc
from repr_jax.losses.contrastive import (
    clip,
    fresh_negatives_nce,
    info_nce,
    nt_xent,
    pairwise,
    siglip,
    symmetric_info_nce,
)
from repr_jax.losses.contrastive_classes import block_contrastive, many_negatives
from repr_jax.losses.contrastive_compatible import hoc, hoc_strict
from repr_jax.losses.contrastive_consistency import co2
from repr_jax.losses.contrastive_events import event_nce
from repr_jax.losses.contrastive_guided import focal_info_nce, gist
from repr_jax.losses.contrastive_labels import (
    discriminative,
    flow_con,
    gated_pairs,
    sup_con,
)
from repr_jax.losses.contrastive_lists import (
    fast_ap,
    histogram,
    pnp,
    ranked_list,
    smooth_ap,
)
from repr_jax.losses.contrastive_margins import (
    dynamic_soft_margin,
    soft_margin_ranking,
    soft_margin_ranking_average,
)
from repr_jax.losses.contrastive_memory import (
    instance_discrimination,
    instance_nce,
    inter_instance,
    moco,
    nnclr,
    relational_js,
)
from repr_jax.losses.contrastive_metric import (
    circle,
    contrastive_margin,
    local_triplet,
    multi_similarity,
    triplet_ratio,
)
from repr_jax.losses.contrastive_proxies import (
    manifold_similarity,
    proxy_anchor,
    unified_negatives,
)
from repr_jax.losses.contrastive_regions import detcon_b, detcon_s
from repr_jax.losses.contrastive_reweighted import (
    dcl,
    dcl_weighted,
    debiased,
    hard_negative,
    macl,
)
from repr_jax.losses.contrastive_sequence import cpc, masked_contrastive
from repr_jax.losses.contrastive_spread import (
    alignment,
    alignment_uniformity,
    koleo,
    mean_shifted,
    spectral_contrastive,
    uniformity,
)
from repr_jax.losses.contrastive_triplets import (
    triplet,
    triplet_all,
    triplet_hardest,
    triplet_semi_hard,
)
from repr_jax.losses.contrastive_tuplets import (
    angular,
    distance_margin,
    generalized_lifted,
    intra_pair_variance,
    lifted_structure,
    nca,
    pair_hinge,
    tuplet_margin,
)
from repr_jax.losses.decorrelation import (
    barlow_twins,
    batch_barlow,
    prompt_orthogonality,
    vicreg,
    vicreg_covariance,
    vicreg_invariance,
    vicreg_variance,
)
from repr_jax.losses.decorrelation_cca import deep_cca
from repr_jax.losses.decorrelation_entropy import emp_ssl, frossl, wmse
from repr_jax.losses.decorrelation_patches import vicreg_local
from repr_jax.losses.decorrelation_views import mmcr, tico
from repr_jax.losses.diffusion import noise_prediction, score_matching
from repr_jax.losses.distillation import (
    byol,
    channel_distillation,
    cross_view,
    dino,
    ibot,
    negative_cosine,
    rare_prototypes,
    relation_distillation,
)
from repr_jax.losses.distillation_compatible import backward_compatible
from repr_jax.losses.distillation_forgetting import forget_align, forget_extract
from repr_jax.losses.distillation_masked import msn
from repr_jax.losses.distillation_patches import patch_alignment
from repr_jax.losses.distillation_similarity import (
    code_quantization,
    similarity_calibration,
)
from repr_jax.losses.information import donsker_varadhan, jensen_shannon, nwj
from repr_jax.losses.multimodal import moe_elbo, mopoe, mvae
from repr_jax.losses.multimodal_coordinated import mmjsd, mmjsd_arithmetic, mvtcae
from repr_jax.losses.multimodal_experts import crmvae, masked_elbo, mmvm, mmvm_mixture
from repr_jax.losses.multimodal_fusion import consensus_elbo, fused_elbo
from repr_jax.losses.multimodal_hierarchy import mhvae, nexus_top
from repr_jax.losses.multimodal_joint import (
    cvae,
    jmvae,
    joint_to_unimodal,
    unimodal_elbo,
)
from repr_jax.losses.multimodal_mixture import mmvae, mmvae_iwae, mmvae_tight
from repr_jax.losses.multimodal_private import (
    dmvae,
    mmvae_plus,
    mmvae_plus_dreg,
    mmvae_plus_tight,
)
from repr_jax.losses.reconstruction import masked_patches, psp
from repr_jax.losses.regression import bucketed_nll, directional_pinball
from repr_jax.losses.regularizers import (
    codebook_diversity,
    local_dimension,
    regular_face,
    sigreg,
    soft_orthogonality,
    visreg,
)
from repr_jax.losses.regularizers_patches import dense_structure
from repr_jax.losses.variational import dreg, elbo, free_nats, iwae
from repr_jax.losses.variational_cascade import cvad
from repr_jax.losses.variational_flow import flow_kl
from repr_jax.losses.variational_levels import hierarchical_elbo
from repr_jax.losses.variational_tree import tree_elbo

__all__ = [
    "agreeing_kl",
    "aligned_spheres",
    "alignment",
    "alignment_uniformity",
    "angular",
    "arcface",
    "background_outliers",
    "backward_compatible",
    "barlow_twins",
    "batch_barlow",
    "block_contrastive",
    "bucketed_nll",
    "byol",
    "channel_distillation",
    "circle",
    "class_dice",
    "clip",
    "co2",
    "code_quantization",
    "codebook_diversity",
    "consensus_elbo",
    "contrastive_margin",
    "copy_paste",
    "cosface",
    "cpc",
    "crmvae",
    "cross_entropy",
    "cross_view",
    "cvad",
    "cvae",
    "dcl",
    "dcl_weighted",
    "debiased",
    "deep_cca",
    "deep_ect",
    "dense_structure",
    "detcon_b",
    "detcon_s",
    "dice",
    "dino",
    "directional_pinball",
    "discriminative",
    "distance_margin",
    "dmvae",
    "donsker_varadhan",
    "dreg",
    "dynamic_soft_margin",
    "elbo",
    "emp_ssl",
    "energy_margin_outliers",
    "energy_margins",
    "event_nce",
    "evidential_cross_entropy",
    "fast_ap",
    "fixmatch",
    "flow_con",
    "flow_kl",
    "focal_balanced",
    "focal_binary",
    "focal_info_nce",
    "forget_align",
    "forget_extract",
    "free_nats",
    "fresh_negatives_nce",
    "frossl",
    "fused_elbo",
    "gan_discriminator",
    "gan_generator",
    "gated_pairs",
    "gaussian_affinity",
    "generalized_cross_entropy",
    "generalized_lifted",
    "gist",
    "gradient_penalty",
    "hard_negative",
    "hierarchical_elbo",
    "hinge_discriminator",
    "hinge_generator",
    "histogram",
    "hoc",
    "hoc_strict",
    "hyphc",
    "ibot",
    "info_nce",
    "instance_discrimination",
    "instance_nce",
    "inter_instance",
    "intra_pair_variance",
    "iwae",
    "jensen_shannon",
    "jmvae",
    "joint_to_unimodal",
    "koleo",
    "ldam",
    "lifted_structure",
    "local_dimension",
    "local_triplet",
    "logit_adjusted",
    "macl",
    "madacos",
    "manifold_similarity",
    "many_negatives",
    "masked_contrastive",
    "masked_elbo",
    "masked_patches",
    "mean_shifted",
    "mhvae",
    "mixture_outlier_exposure",
    "mmcr",
    "mmjsd",
    "mmjsd_arithmetic",
    "mmvae",
    "mmvae_iwae",
    "mmvae_plus",
    "mmvae_plus_dreg",
    "mmvae_plus_tight",
    "mmvae_tight",
    "mmvm",
    "mmvm_mixture",
    "moco",
    "moe_elbo",
    "mopoe",
    "msn",
    "multi_similarity",
    "mvae",
    "mvtcae",
    "nca",
    "negative_cosine",
    "nexus_top",
    "nnclr",
    "noise_prediction",
    "nt_xent",
    "nwj",
    "outlier_exposure",
    "pair_hinge",
    "pair_match",
    "pairwise",
    "palm",
    "patch_alignment",
    "pnp",
    "prompt_orthogonality",
    "proxy_anchor",
    "pseudo_class",
    "psp",
    "ranked_list",
    "rare_prototypes",
    "region_cross_entropy",
    "regular_face",
    "relation_distillation",
    "relational_js",
    "robust_hinge",
    "score_matching",
    "sdm",
    "selective_pseudo_label",
    "siglip",
    "sigreg",
    "similarity_calibration",
    "smooth_ap",
    "soft_cross_entropy",
    "soft_margin_ranking",
    "soft_margin_ranking_average",
    "soft_orthogonality",
    "soft_outlier",
    "soft_triple",
    "sparse_centers",
    "spectral_contrastive",
    "sphereface",
    "sub_center_arcface",
    "sup_con",
    "swapped_cross_entropy",
    "swav",
    "symmetric_info_nce",
    "temi",
    "textual_outliers",
    "tico",
    "tree_elbo",
    "triplet",
    "triplet_all",
    "triplet_hardest",
    "triplet_ratio",
    "triplet_semi_hard",
    "tuplet_margin",
    "turtle",
    "unified_negatives",
    "uniformity",
    "unimodal_elbo",
    "vicreg",
    "vicreg_covariance",
    "vicreg_invariance",
    "vicreg_local",
    "vicreg_variance",
    "visreg",
    "wmse",
]
