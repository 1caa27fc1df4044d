"""Numbers to read, not to differentiate: arrays in, numbers out. jax and numpy only."""

from repr_jax.metrics.attribution import (
    keep_masks,
    leakage,
)
from repr_jax.metrics.calibration import (
    adaptive_calibration_error,
    adaptive_reliability,
    brier,
    expected_calibration_error,
    maximum_calibration_error,
    reliability,
)
from repr_jax.metrics.classification import accuracy, agreement, macro_accuracy
from repr_jax.metrics.clustering import (
    adjusted_rand_index,
    contingency,
    hungarian_accuracy,
    hungarian_matching,
    leaf_purity,
    majority_accuracy,
    mean_leaf_purity,
    nmi,
    nmi_geometric,
)
from repr_jax.metrics.denoising import (
    four_copies,
    unsupervised_mse,
    unsupervised_psnr,
)
from repr_jax.metrics.detection import auroc, average_precision, fpr_at_tpr
from repr_jax.metrics.discrepancy import (
    discrepancies,
    uniformity_gap,
)
from repr_jax.metrics.fairness import (
    corrected_shares,
    cpr,
    num_distinct,
    pr,
    pr_shares,
    rdp,
    rdp_shares,
    ucpr,
)
from repr_jax.metrics.generation import (
    frechet_distance,
    frechet_of_gaussians,
    largest_f,
    near_a_mode,
    neighbor_precision_recall,
    prd,
)
from repr_jax.metrics.geometry import effective_rank, linear_cka, rankme
from repr_jax.metrics.hierarchy import (
    dasgupta_cost,
    dendrogram_purity,
    lhd_log,
    lhd_mistake,
    lhd_pair,
    macro_dendrogram_purity,
)
from repr_jax.metrics.images import (
    cosine_distance,
    laplacian_variance,
    mean_squared_error,
    ms_ssim,
    perceptual_distance,
    psnr,
    ssim,
)
from repr_jax.metrics.inductive_bias import (
    BiasInformation,
    bias_information,
    noncentral_bits,
    sankaran,
)
from repr_jax.metrics.localization import (
    aupro,
    regions,
)
from repr_jax.metrics.niqe import niqe, niqe_features, niqe_reference
from repr_jax.metrics.pretraining import (
    label_utility,
    memorization,
)
from repr_jax.metrics.regression import (
    r2,
    spearman,
    variance_share,
)
from repr_jax.metrics.retrieval import ranks, recall_at_k
from repr_jax.metrics.significance import (
    goodness_of_fit,
    holm,
    homogeneity,
    mcnemar,
    signed_rank,
    smallest_chi2,
    sum_of_tests,
    wilson,
)
from repr_jax.metrics.spread import (
    average_cosine,
    eigenvalue_enrichment,
    partition_ratio,
    persistence_median,
    persistence_score,
    vasicek_ratio_mse,
)
from repr_jax.metrics.taxonomy import (
    MergeAudit,
    audit_merges,
    best_f1,
    cophenetic_correlation,
    robinson_foulds,
    triplet_agreement,
)
from repr_jax.metrics.uncertainty import (
    inverse_entropy,
    ray_slopes,
)

__all__ = [
    "BiasInformation",
    "MergeAudit",
    "accuracy",
    "adaptive_calibration_error",
    "adaptive_reliability",
    "adjusted_rand_index",
    "agreement",
    "audit_merges",
    "aupro",
    "auroc",
    "average_cosine",
    "average_precision",
    "best_f1",
    "bias_information",
    "brier",
    "contingency",
    "cophenetic_correlation",
    "corrected_shares",
    "cosine_distance",
    "cpr",
    "dasgupta_cost",
    "dendrogram_purity",
    "discrepancies",
    "effective_rank",
    "eigenvalue_enrichment",
    "expected_calibration_error",
    "four_copies",
    "fpr_at_tpr",
    "frechet_distance",
    "frechet_of_gaussians",
    "goodness_of_fit",
    "holm",
    "homogeneity",
    "hungarian_accuracy",
    "hungarian_matching",
    "inverse_entropy",
    "keep_masks",
    "label_utility",
    "laplacian_variance",
    "largest_f",
    "leaf_purity",
    "leakage",
    "lhd_log",
    "lhd_mistake",
    "lhd_pair",
    "linear_cka",
    "macro_accuracy",
    "macro_dendrogram_purity",
    "majority_accuracy",
    "maximum_calibration_error",
    "mcnemar",
    "mean_leaf_purity",
    "mean_squared_error",
    "memorization",
    "ms_ssim",
    "near_a_mode",
    "neighbor_precision_recall",
    "niqe",
    "niqe_features",
    "niqe_reference",
    "nmi",
    "nmi_geometric",
    "noncentral_bits",
    "num_distinct",
    "partition_ratio",
    "perceptual_distance",
    "persistence_median",
    "persistence_score",
    "pr",
    "pr_shares",
    "prd",
    "psnr",
    "r2",
    "rankme",
    "ranks",
    "ray_slopes",
    "rdp",
    "rdp_shares",
    "recall_at_k",
    "regions",
    "reliability",
    "robinson_foulds",
    "sankaran",
    "signed_rank",
    "smallest_chi2",
    "spearman",
    "ssim",
    "sum_of_tests",
    "triplet_agreement",
    "ucpr",
    "uniformity_gap",
    "unsupervised_mse",
    "unsupervised_psnr",
    "variance_share",
    "vasicek_ratio_mse",
    "wilson",
]
