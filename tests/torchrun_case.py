"""Trains a small network and saves it from the first process: by itself, or under torchrun."""

import sys

import torch
from safetensors.torch import save_file

from kronoscope import nn, training


def train(folder=None, resume=False):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    x = torch.randn(64, 5, 2, generator=g).cumsum(dim=1)
    network = nn.PositionTransformer(5, 2, width=8, num_blocks=1, num_heads=2)
    config = training.TrainingConfig(max_steps=20, batch_size=16, evaluate_every=10, held_out_draws=64)
    return training.train(network, x[:48], x[48:], config, generator=g, checkpoint=folder, resume=resume)


if __name__ == "__main__":
    result = train()
    processes = training.Processes.join()
    if processes.is_first:
        tensors = {name: value.contiguous() for name, value in result.network.state_dict().items()}
        tensors["loss"] = torch.tensor([one["held_out_loss"] for one in result.history])
        tensors["processes"] = torch.tensor(processes.size)
        save_file(tensors, sys.argv[1])
    processes.wait()
