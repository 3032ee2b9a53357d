"""What the chains of a backbone say, and what gradients say, of how far a level sees."""

import torch


def field(chain):
    """Side of the receptive field and the jump from cell to cell, in pixels."""
    size, jump = 1, 1
    for kernel in chain:
        size += (kernel.size - 1) * kernel.dilation * jump
        jump *= kernel.stride
    return size, jump


def seen(net, level, side):
    """Columns of a square image that reach the middle cell of a level."""
    images = torch.rand(1, 3, side, side, requires_grad=True)
    features = net(images)[level]
    middle = features.shape[-1] // 2
    (gradient,) = torch.autograd.grad(features[0, :, middle, middle].sum(), images)
    columns = gradient.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    return int(columns[-1] - columns[0]) + 1
