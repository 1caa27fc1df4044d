"""JNF on five-view PolyMNIST: flows that follow a joint VAE, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/joint_polymnist_small.py \
    --workdir=runs/joint_small
python -m repr_jax.main --config=configs/multimodal/jnf_polymnist_small.py \
    --workdir=runs/jnf_small --config.start.source=runs/joint_small
Expect: not yet run.
"""

from configs.multimodal import telbo_polymnist_small
from experiments import joint_flows
from repr_jax import losses
from repr_jax.models.flows import MaskedAutoregressiveFlow
from repr_jax.ops import hamiltonian


def get_config(mode=""):
    config = telbo_polymnist_small.get_config(mode)  # networks, data, joint bound
    smoke = mode == "smoke"
    config.experiment = joint_flows.make
    config.flow = dict(
        fn=MaskedAutoregressiveFlow,
        dim=config.get_ref("latent_dim"),
        hidden=(8,) if smoke else (128, 128, 128),
    )
    config.loss = dict(fn=losses.joint_to_unimodal)
    config.posterior = dict(  # published: 100 steps, and none to warm up
        fn=hamiltonian.sample,
        num_warmup=2 if smoke else 30,
        num_steps=1 if smoke else 20,
        num_leapfrogs=2 if smoke else 10,
    )
    for name in ("likelihood", "linear_probe", "frechet", "clusters", "projection"):
        del config.evals[name]  # chains for each row and subset take hours here
    if not smoke:
        config.evals.coherence.update(limit=200, num_random=1_000)
        config.evals.reconstruction.limit = 200
    telbo_polymnist_small.second_stage(config, mode, moves="^(encoders|flows)_")
    return config
