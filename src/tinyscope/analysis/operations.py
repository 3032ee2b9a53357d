"""Operations of a network by kind and module, counted while it runs.

Two conventions at once. *Multiply-adds*: of convolutions and matrix products, biases left out, as
torch's own counter has them. *Published*: the figures of papers that were made with mmcv's
`get_model_complexity_info`, which calls its sum FLOPs. One operation each: a multiply-add of a
convolution or linear layer, a bias added by a convolution, an element that comes out of a ReLU or
an enlargement, an element that goes into a pooling; two per element of a norm with weights, one
without; nothing for sums, sigmoids, softmax and pooling of regions. That tool counts modules and
sees no functions; `FUNCTIONS` says where the networks here differ from the counted code in it.
What the networks compute in a cheaper way is counted in both as it is published.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from tinyscope.nn.blocks import ReluPool
from tinyscope.nn.heads.rpn import RpnHead
from tinyscope.nn.necks.atrous import AtrousPyramid
from tinyscope.nn.necks.fpn import FPN
from tinyscope.nn.necks.hrfpn import HRFPN
from tinyscope.nn.necks.joined import JoinedConvolution
from tinyscope.nn.necks.sspnet import SSPNet
from tinyscope.nn.switchable import SwitchableConvolution

Kind = Literal["convolution", "linear", "norm", "activation", "pooling", "upsampling"]
FUNCTIONS = (FPN, HRFPN, RpnHead, SSPNet, JoinedConvolution, AtrousPyramid, SwitchableConvolution)
"""Modules whose own ReLUs, poolings and enlargements are functions in the counted code too."""

MEANS = (AtrousPyramid,)
"""Modules whose means over cells are poolings in the counted code."""

_BATCH = 2
"""Images that are counted: batch norm in training refuses one image whose map is one cell."""


@dataclass(frozen=True)
class Operations:
    """What the modules of a network do by themselves, without those inside them, for one image.

    `published` by module path and kind, `multiply_adds` by module path; "" is the network.
    """

    published: Mapping[str, Mapping[Kind, int]]
    multiply_adds: Mapping[str, int]


def count_operations(network: nn.Module, run: Callable[[int], Any]) -> Operations:
    """Counts while a network runs, which best lies on the meta device, where nothing is computed.

    Args:
        network: On another device, the statistics of its batch norms move.
        run: Calls `network` on so many images.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and not m.training]
    joined = [m for m in network.modules() if isinstance(m, JoinedConvolution) and not m.direct]
    for norm in norms:
        norm.training = True  # else blocks multiply it into their convolutions
    for convolution in joined:
        convolution.direct = True  # the form that is published, not the faster one
    try:
        return _count(network, run)
    finally:
        for norm in norms:
            norm.training = False
        for convolution in joined:
            convolution.direct = False


def _count(network: nn.Module, run: Callable[[int], Any]) -> Operations:
    formulas = dict(_formulas())
    published = FlopCounterMode(display=False, custom_mapping=formulas)
    # An operation without a formula would be taken apart, which takes time and hides it.
    others = {op: _nothing for op, kind in _KINDS.items() if kind != "convolution"}
    others[_deformable] = _twice_deformable  # of which torch's own counter knows nothing
    plain = FlopCounterMode(display=False, custom_mapping=others)
    with torch.no_grad(), plain, published:
        run(_BATCH)
    modules = dict(network.named_modules())
    kinds: dict[str, dict[Kind, int]] = {}
    for path, counts in _own(network, published).items():
        by_kind: Counter[Kind] = Counter()
        means = counts.pop(_aten.mean, 0) // _BATCH
        for operation, count in counts.items():
            per_one = _BATCH if operation in formulas else 2 * _BATCH
            by_kind[_KINDS.get(operation, "linear")] += count // per_one
        kinds[path] = _as_published(modules[path], by_kind, means)
    # A multiply-add is two operations to torch's own formulas.
    sums = {p: sum(c.values()) // (2 * _BATCH) for p, c in _own(network, plain).items()}
    return Operations(kinds, sums)


def _as_published(module: nn.Module, kinds: Counter[Kind], means: int) -> dict[Kind, int]:
    if isinstance(module, ReluPool):
        kinds["activation"] = kinds["pooling"]  # there the ReLU comes first
    if isinstance(module, FUNCTIONS):
        for function in ("activation", "pooling", "upsampling"):
            kinds.pop(function, None)
    if isinstance(module, MEANS):
        kinds["pooling"] += means
    return {kind: count for kind, count in kinds.items() if count}


def _own(network: nn.Module, mode: FlopCounterMode) -> dict[str, Counter[Any]]:
    """Counts by path without those of the modules inside."""
    own: dict[str, Counter[Any]] = defaultdict(Counter)
    found = mode.get_flop_counts()

    def add(module: nn.Module, path: str) -> Counter[Any]:
        inner: Counter[Any] = Counter()
        for name, child in module.named_children():
            inner += add(child, f"{path}.{name}")
        # A list of modules is not called itself, so nothing is counted by its name.
        whole = Counter(found[path]) if path in found else inner
        key = path.partition(".")[2]
        own[key] = whole - inner
        return whole

    add(network, type(network).__name__)
    return dict(own)


_aten = torch.ops.aten
_deformable = torch.ops.torchvision.deform_conv2d
_KINDS: dict[Any, Kind] = {
    _aten.convolution: "convolution",
    _deformable: "convolution",
    _aten.native_batch_norm: "norm",
    _aten.native_group_norm: "norm",
    _aten.native_layer_norm: "norm",
    _aten.relu: "activation",
    _aten.relu_: "activation",
    _aten.leaky_relu: "activation",
    _aten.leaky_relu_: "activation",
    _aten.hardtanh: "activation",
    _aten.hardtanh_: "activation",
    _aten.elu: "activation",
    _aten.elu_: "activation",
    _aten.max_pool2d_with_indices: "pooling",
    _aten.avg_pool2d: "pooling",
    _aten._adaptive_avg_pool2d: "pooling",
    _aten.adaptive_max_pool2d: "pooling",
    _aten.upsample_nearest2d: "upsampling",
    _aten.upsample_bilinear2d: "upsampling",
    _aten.upsample_bicubic2d: "upsampling",
}
_Shape = Sequence[int]


def _convolution(
    x: _Shape,
    weight: _Shape,
    bias: _Shape | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *_: Any,
    out_shape: _Shape,
    **__: Any,
) -> int:
    count: int = conv_flop_count([*x], [*weight], [*out_shape], transposed=transposed) // 2
    return count + (0 if bias is None else prod(out_shape))


def _taps(x: _Shape, weight: _Shape, *_: Any, out_shape: _Shape, **__: Any) -> int:
    """Of a deformable convolution, which has no bias here; what places its taps is not counted."""
    return prod(out_shape) * prod(weight[1:])


def _twice_deformable(*shapes: Any, **more: Any) -> int:
    return 2 * _taps(*shapes, **more)


def _matrices(a: _Shape, b: _Shape, *_: Any, **__: Any) -> int:
    return prod(a) * b[-1]


def _added_to(_: _Shape, a: _Shape, b: _Shape, *__: Any, **___: Any) -> int:
    return prod(a) * b[-1]


def _batch_norm(x: _Shape, weight: _Shape | None, *_: Any, **__: Any) -> int:
    return prod(x) * (1 if weight is None else 2)


def _layer_norm(x: _Shape, _: Any, weight: _Shape | None, *__: Any, **___: Any) -> int:
    return prod(x) * (1 if weight is None else 2)


def _elements(x: _Shape, *_: Any, **__: Any) -> int:
    return prod(x)


def _pool(x: _Shape, kernel: Sequence[int], *_: Any, **__: Any) -> int:
    return 0 if set(kernel) == {1} else prod(x)  # of one cell: it only picks


def _nothing(*_: Any, **__: Any) -> int:
    return 0


def _made(*_: Any, out_shape: _Shape, **__: Any) -> int:
    return prod(out_shape)


def _formulas() -> Iterator[tuple[Any, Callable[..., int]]]:
    special: dict[Any, Callable[..., int]] = {
        _aten.convolution: _convolution,
        _deformable: _taps,
        _aten.native_batch_norm: _batch_norm,
        _aten.native_group_norm: _batch_norm,
        _aten.native_layer_norm: _layer_norm,
        _aten.max_pool2d_with_indices: _pool,
        _aten.avg_pool2d: _pool,
        _aten.mean: _elements,
        _aten.mm: _matrices,
        _aten.bmm: _matrices,
        _aten.addmm: _added_to,
        _aten.baddbmm: _added_to,
    }
    yield from special.items()
    for operation, kind in _KINDS.items():
        if operation not in special:
            yield operation, _made if kind == "upsampling" else _elements
