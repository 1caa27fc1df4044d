"""Rows of `public_losses`: lightly's losses of many views, of regions and patches."""

from experiments.benchmarks import public_losses_arrays as arrays
from experiments.benchmarks import public_losses_calls as calls
from experiments.benchmarks.public_losses_calls import Case, case, lightly
from repr_jax import losses


def of_views() -> list[Case]:
    """Of whitened, spread or repelled views, and of prototypes."""
    rate = "lightly adds the coding rate, which the paper maximizes"
    positive = "lightly counts the key with the queue; torch.tensor cuts its gradient"
    kl = "lightly takes the divergence the other way round"
    left = "as above, "
    return [
        case(losses.wmse, lightly("WMSELoss"), arrays.several, "whitened"),
        case(
            losses.wmse,
            lightly("WMSELoss", eps=0.1),
            arrays.several,
            "whitened",
            shrinkage=0.1,
        ),
        case(
            losses.emp_ssl,
            lightly("EMPSSLLoss"),
            arrays.several,
            "unit_views",
            note=rate,
        ),
        case(
            losses.emp_ssl,
            lightly("EMPSSLLoss", inv_coef=-200.0),
            arrays.several,
            "minus_unit_views",
            note=left + "minus lightly's of minus the invariance",
        ),
        case(
            losses.emp_ssl,
            lightly("EMPSSLLoss", inv_coef=-3.0, tcr_eps=0.7),
            arrays.several,
            "minus_unit_views",
            invariance_weight=3.0,
            distortion=0.7,
            note=left + "minus lightly's of minus the invariance",
        ),
        case(losses.frossl, lightly("FroSSLLoss"), arrays.several, "listed"),
        case(
            losses.frossl,
            lightly("FroSSLLoss", invariance_weight=0.3),
            arrays.several,
            "listed",
            invariance_weight=0.3,
        ),
        case(losses.macl, lightly("MACLLoss"), arrays.views),
        case(
            losses.macl,
            lightly("MACLLoss", temperature=0.5, alpha=1.0, A_0=0.3),
            arrays.views,
            temperature=0.5,
            adaptation=1.0,
            initial_alignment=0.3,
        ),
        case(
            losses.co2,
            lightly("regularizer.CO2Regularizer", memory_bank_size=(12, 4)),
            arrays.queued,
            "consistent",
            note=positive,
        ),
        case(
            losses.co2,
            lightly("regularizer.CO2Regularizer", memory_bank_size=(12, 4)),
            arrays.queued,
            "consistent_of_negatives",
            note=left + "of the queue alone",
        ),
        case(
            calls.pmsn,
            lightly("PMSNLoss"),
            arrays.masked_views,
            "view_by_view",
            note=kl,
        ),
        case(
            calls.pmsn_reversed,
            lightly("PMSNLoss"),
            arrays.masked_views,
            "view_by_view",
            note=left + "the other way round here, too",
        ),
    ]


def of_patches() -> list[Case]:
    """Of regions, patches and steps."""
    normal = "lightly's directions are replaced by ours, its quantiles by float64"
    weights = "lightly rounds weights of regions to float32, which is left out"
    single = "lightly rounds features to float32, which is left out"
    added = "lightly adds 1e-8 to sums of Sinkhorn's algorithm, which is left out"
    drawn = "lightly's directions are replaced by ours, its window by one in float64"
    return [
        case(
            losses.detcon_s,
            lightly("DetConSLoss"),
            arrays.regions,
            "in_double",
            note=weights,
        ),
        case(
            losses.detcon_b,
            lightly("DetConBLoss"),
            arrays.predicted_regions,
            "in_double",
            note=weights,
        ),
        case(
            losses.detcon_b,
            lightly("DetConBLoss", temperature=0.7),
            arrays.predicted_regions,
            "in_double",
            temperature=0.7,
            note=weights,
        ),
        case(
            calls.vicregl,
            lightly("VICRegLLoss", num_matches=(4, 2)),
            arrays.mapped,
            "mapped",
        ),
        case(
            losses.patch_alignment,
            lightly("PatchKernelAlignmentLoss"),
            arrays.maps,
            "in_double",
            note=single,
        ),
        case(
            calls.capi, lightly("CAPILoss"), arrays.hidden_patches, "hidden", note=added
        ),
        case(
            calls.visreg_of_views,
            lightly("VISRegLoss", num_slices=9),
            arrays.projected,
            "projected",
            note=normal,
        ),
        case(calls.le_wm, lightly("LeWMLoss"), arrays.frames, "of_steps", note=drawn),
        case(
            losses.dense_structure,
            lightly("regularizer.DSERegularizer"),
            arrays.clustered_patches,
            "structured",
            note="of clusters that are given in place of lightly's k-means",
        ),
    ]
