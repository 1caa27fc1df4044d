"""JNF-DCCA on five-view PolyMNIST: its flows see what views share, for a CPU.

python -m repr_jax.main --config=configs/multimodal/joint_polymnist_small.py \
    --workdir=runs/joint_small
python -m repr_jax.main --config=configs/multimodal/shared_polymnist_small.py \
    --workdir=runs/shared_small --config.start.source=runs/joint_small
python -m repr_jax.main --config=configs/multimodal/jnf_dcca_polymnist_small.py \
    --workdir=runs/jnf_dcca_small --config.start.source=runs/shared_small
The hidden layers of the experts stay as canonical correlations made them; their heads
and the flows move.
Expect: not yet run.
"""

from configs.multimodal import jnf_polymnist_small


def get_config(mode=""):
    config = jnf_polymnist_small.get_config(mode)
    config.start.source = "" if mode == "smoke" else "runs/shared_small"
    config.optimizer.moves = r"^(flows_|encoders_\d+/(mean|log_var)_head/)"
    return config
