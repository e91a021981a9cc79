"""Trains a small network and saves it from the first process: by itself, or under torchrun.

python torchrun_case.py NETWORK OUT [CHECKPOINT_FOLDER]    goes on from the checkpoint, if a folder is given
"""

import sys

import torch
from safetensors.torch import save_file

from kronoscope import nn, training

NETWORKS = {
    "position": lambda: nn.PositionTransformer(5, 2, width=8, num_blocks=1, num_heads=2),
    "dit": lambda: nn.DiT(5, 2, width=8, num_blocks=1, num_heads=2),
    "unrolled": lambda: nn.UnrolledTransformer(5, 2, heads=2),
}


def train(network, folder=None, resume=False, on_progress=None):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    x = torch.randn(64, 5, 2, generator=g).cumsum(dim=1)
    config = training.TrainingConfig(max_steps=20, batch_size=16, evaluate_every=10, held_out_draws=64)
    told = {"generator": g, "checkpoint": folder, "resume": resume, "on_progress": on_progress}
    return training.train(NETWORKS[network](), x[:48], x[48:], config, **told)


if __name__ == "__main__":
    name, out, *folder = sys.argv[1:]
    result = train(name, *folder, resume=bool(folder))
    processes = training.Processes.join()
    if processes.is_first:
        tensors = {name: value.contiguous() for name, value in result.network.state_dict().items()}
        tensors["loss"] = torch.tensor([one["held_out_loss"] for one in result.history])
        tensors["processes"] = torch.tensor(processes.size)
        save_file(tensors, out)
    processes.wait()
