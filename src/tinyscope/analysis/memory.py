"""Bytes that a forward pass keeps for its backward pass, by the module that keeps them."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def saved_bytes(network: nn.Module, run: Callable[[], Any]) -> Counter[str]:
    """What autograd saves while `network` runs, by module path; works on the meta device too.

    Weights and buffers do not count, since they are there anyway. A map that several operations
    save counts once, where it is saved first. What is needed only for a moment is not in it, nor
    are gradients, the optimizer and the losses.

    Args:
        network: Of whose modules' calls the bytes are.
        run: Calls `network` once.
    """
    kept: Counter[str] = Counter()
    inside = [""]
    # Storages are held until the end: one that is freed could hand its address to another.
    own = [t.untyped_storage() for t in (*network.parameters(), *network.buffers())]
    held: dict[int, Any] = {storage._cdata: storage for storage in own}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in held:
            held[storage._cdata] = storage
            kept[inside[-1]] += storage.nbytes()
        return tensor

    hooks = []
    for path, module in network.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, path=path: inside.append(path)))
        hooks.append(module.register_forward_hook(lambda *_: inside.__delitem__(-1)))
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(save, lambda x: x):
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return kept
