"""What networks of residual blocks have in common: first weights, and norms that stay as they are.

He et al. 2015, arXiv:1502.01852, for convolutions; Goyal et al. 2017, arXiv:1706.02677, for blocks
that start as their shortcut.
"""

from torch import nn

from tinyscope.nn.blocks import BasicBlock, Bottleneck


def initialize(network: nn.Module, *, zero_init_residual: bool) -> None:
    """Convolutions for ReLUs behind them; the last norm of every block at 0 where asked for."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif zero_init_residual and isinstance(module, BasicBlock | Bottleneck):
            nn.init.zeros_(module.last_norm_weight)


def set_norms_learn(network: nn.Module, learn: bool) -> None:
    """Whether weights and biases of all norms get gradients."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            module.requires_grad_(learn)


def fix_statistics(network: nn.Module) -> None:
    """Batch norms use their running statistics and leave them, until the next `train()`."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
