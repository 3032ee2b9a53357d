"""A module of HRNet: branches of blocks side by side, then each receives what all have found.

Wang et al. 2020, arXiv:1908.07919.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from tinyscope.nn.blocks import BasicBlock, Kernel, Norm, convolve, normalization


class ConvolutionNorm(nn.Sequential):
    """A convolution without bias, its norm, and what follows, named 0, 1 and on."""

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, *after = self
        assert isinstance(convolution, nn.Conv2d)
        x = convolve(convolution, norm, x)
        for module in after:
            x = module(x)
        return x


def convolution_norm(
    before: int, after: int, kernel: Kernel, norm: Norm, groups: int, *, relu: bool = True
) -> ConvolutionNorm:
    """A padded convolution from `before` to `after` channels with its norm and perhaps a ReLU."""
    layers = [
        nn.Conv2d(before, after, kernel.size, kernel.stride, kernel.size // 2, bias=False),
        normalization(norm, after, groups),
    ]
    return ConvolutionNorm(*layers, *[nn.ReLU(inplace=True)] * relu)


class Exchange(nn.Module):
    """Blocks per branch; then every branch's map becomes the ReLU of the sum of all.

    Args:
        channels: Of the branches, fine to coarse, at strides that double; more than `blocks` may
            be given.
        blocks: How many blocks each branch has; their number is that of the branches.
        norm: Of every convolution.
        groups: Of group norm.
    """

    def __init__(
        self, channels: Sequence[int], blocks: Sequence[int], norm: Norm, groups: int
    ) -> None:
        super().__init__()
        channels = channels[: len(blocks)]
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(n, n, 1, norm, groups) for _ in range(count)))
            for n, count in zip(channels, blocks, strict=True)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(channels, j, i, norm, groups) for j in range(len(channels)))
            for i in range(len(channels))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (b, channels[i], h / 2**i, w / 2**i), fine to coarse, to the same shapes."""
        found = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        out = []
        for i, paths in enumerate(self.fuse_layers):
            arrived = [path(x) for path, x in zip(paths.children(), found, strict=True)]
            own = arrived.pop(i)  # still needed as it is, so the first sum is a new map
            total = own + arrived[0]
            for other in arrived[1:]:
                total.add_(other)
            out.append(self.relu(total))
        return out


def _path(channels: Sequence[int], source: int, to: int, norm: Norm, groups: int) -> nn.Module:
    """From branch `source` to branch `to`: a coarser one is enlarged, a finer one halved."""
    before, after = channels[source], channels[to]
    if source == to:
        return nn.Identity()
    if source > to:
        narrow = convolution_norm(before, after, Kernel(1, 1), norm, groups, relu=False)
        return narrow.append(nn.Upsample(scale_factor=2 ** (source - to), mode="nearest"))
    halve = Kernel(3, 2)
    steps = [convolution_norm(before, before, halve, norm, groups) for _ in range(to - source - 1)]
    return nn.Sequential(*steps, convolution_norm(before, after, halve, norm, groups, relu=False))
