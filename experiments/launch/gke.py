"""Trains on a TPU slice of a Kubernetes cluster (GKE), as a JobSet.

  python -m experiments.launch.gke --name=simclr --image=REGISTRY/repr_jax \\
      --chip=v5e --topology=4x8 --dry-run -- \\
      --config=configs/contrastive/simclr_cifar10.py --workdir=gs://BUCKET/simclr

Applies a JobSet of one pod a host with `kubectl apply`; --dry-run prints the manifest.
The image holds this checkout, installed with `.[train,tpu,gcs]`, and starts in its
folder.
GKE tells each pod of the others, and jax reads it. A pod that is asked to leave gets
--grace seconds to save; if one fails all are started again, and the same command
continues from the last checkpoint. The cluster has a node pool of that chip and
topology, and JobSet installed: https://jobset.sigs.k8s.io and
https://docs.cloud.google.com/kubernetes-engine/docs/how-to/tpu-multislice.

Exit codes: 0 applied; 2 the input was wrong; else kubectl's.
"""

import json
import math
import sys

from experiments.arguments import at_least
from experiments.launch import commands

ACCELERATORS = {  # of the label cloud.google.com/gke-tpu-accelerator
    "v4": "tpu-v4-podslice",
    "v5e": "tpu-v5-lite-podslice",
    "v5p": "tpu-v5p-slice",
    "v6e": "tpu-v6e-slice",
}
NODE_POOL = "cloud.google.com/gke-nodepool"
PORTS = (8471, 8476)  # of the TPU runtime, and of jax's coordinator on TPU hosts


def hosts(topology: str, chips_per_host: int) -> int:
    """How many hosts hold the chips of a topology such as 4x8 or 2x2x2.

    Raises:
      ValueError: it is no topology, or does not consist of whole hosts.
    """
    sides = topology.split("x")
    if not all(side.isdecimal() and int(side) for side in sides):
        raise ValueError(f"--topology: expected one such as 4x8; got {topology!r}.")
    chips = math.prod(map(int, sides))
    if chips % chips_per_host:
        raise ValueError(
            f"--topology: expected a multiple of the {chips_per_host} chips of a host; "
            f"got {topology}, which has {chips}."
        )
    return chips // chips_per_host


def manifest(asked) -> dict:
    """The JobSet, as Kubernetes reads it."""
    count = hosts(asked.topology, asked.chips_per_host)
    chips = {"google.com/tpu": asked.chips_per_host}
    container = {
        "name": "train",
        "image": asked.image,
        "command": commands.of_main(
            asked.arguments, distributed="auto", python="python"
        ),
        "ports": [{"containerPort": port} for port in PORTS],
        "resources": {"requests": chips, "limits": chips},
    }
    selector = {
        "cloud.google.com/gke-tpu-accelerator": ACCELERATORS[asked.chip],
        "cloud.google.com/gke-tpu-topology": asked.topology,
    }
    if asked.spot:
        selector["cloud.google.com/gke-spot"] = "true"
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": asked.grace,
        "nodeSelector": selector,
        "containers": [container],
    }
    job = {
        "parallelism": count,
        "completions": count,
        "backoffLimit": 0,  # one failed pod fails the job, and JobSet restarts all
        "template": {"spec": pod},
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": asked.name,
            "annotations": {"alpha.jobset.sigs.k8s.io/exclusive-topology": NODE_POOL},
        },
        "spec": {
            "failurePolicy": {"maxRestarts": asked.restarts},
            "replicatedJobs": [
                {"name": "slice", "replicas": 1, "template": {"spec": job}}
            ],
        },
    }


def main(arguments=None) -> int:
    """Applies the manifest, or prints it."""
    parser = commands.parser("experiments.launch.gke", __doc__)
    add = parser.add_argument
    add("--name", required=True, help="of the JobSet")
    add("--image", required=True, help="with this checkout installed")
    add("--chip", required=True, choices=sorted(ACCELERATORS))
    add("--topology", required=True, help="of the node pool, such as 4x8 or 2x2x2")
    add("--chips-per-host", type=at_least(1), default=4, metavar="N", help="4")
    add("--restarts", type=at_least(0), default=10, metavar="N", help="at most, 10")
    add("--grace", type=at_least(1), default=120, metavar="S", help="120 seconds")
    add("--spot", action="store_true", help="on a node pool of Spot VMs")
    asked = parser.parse_args(arguments)
    try:
        text = json.dumps(manifest(asked), indent=2)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.dry_run:
        print(text)
        return 0
    return commands.do([["kubectl", "apply", "-f", "-"]], dry_run=False, given=text)


if __name__ == "__main__":
    sys.exit(main())
