"""Numbers to read, not to differentiate: arrays in, numbers out. jax and numpy only."""

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
from repr_jax.metrics.detection import auroc, average_precision, fpr_at_tpr
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
from repr_jax.metrics.images import mean_squared_error, ssim
from repr_jax.metrics.regression import r2
from repr_jax.metrics.retrieval import ranks, recall_at_k
from repr_jax.metrics.taxonomy import (
    MergeAudit,
    audit_merges,
    best_f1,
    cophenetic_correlation,
    robinson_foulds,
    triplet_agreement,
)

__all__ = [
    "MergeAudit",
    "accuracy",
    "adjusted_rand_index",
    "agreement",
    "audit_merges",
    "auroc",
    "average_precision",
    "best_f1",
    "contingency",
    "cophenetic_correlation",
    "dasgupta_cost",
    "dendrogram_purity",
    "effective_rank",
    "fpr_at_tpr",
    "frechet_distance",
    "frechet_of_gaussians",
    "hungarian_accuracy",
    "hungarian_matching",
    "largest_f",
    "leaf_purity",
    "lhd_log",
    "lhd_mistake",
    "lhd_pair",
    "linear_cka",
    "macro_accuracy",
    "macro_dendrogram_purity",
    "majority_accuracy",
    "mean_leaf_purity",
    "mean_squared_error",
    "near_a_mode",
    "neighbor_precision_recall",
    "nmi",
    "nmi_geometric",
    "prd",
    "r2",
    "rankme",
    "ranks",
    "recall_at_k",
    "robinson_foulds",
    "ssim",
    "triplet_agreement",
]
