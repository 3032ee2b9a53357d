"""What suits the machine: the precision and the memory format to train and to predict in.

Processors with native bfloat16 convolve about twice as fast in it as in float32; those without
it emulate it, far slower. Boxes and losses are float32 in any precision: the detectors see to it.
"""

import resource
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch

from tinyscope.errors import SettingsError

Precision = Literal["32", "bf16", "16"]

_NATIVE_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last one is ARM's name


@lru_cache
def native_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies bfloat16 in hardware; False where nothing says so."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return bool(_NATIVE_FLAGS & set(flags.split()))


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """The precision to use where `wanted` is "auto", "32", "bf16" or "16".

    Raises:
        SettingsError: `wanted` is something else, or is "16" without a GPU.
    """
    if wanted == "auto":
        if device.type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "16"
        return "bf16" if device.type == "cpu" and native_bfloat16() else "32"
    if wanted == "16" and device.type == "cpu":
        raise SettingsError("precision: 16 needs a GPU; use bf16, 32 or auto on a CPU")
    for precision in get_args(Precision):
        if wanted == precision:
            return cast(Precision, precision)
    raise SettingsError(f"precision: {wanted!r} is not known; use auto, 32, bf16 or 16")


def choose_channels_last(
    wanted: bool | Literal["auto"], precision: Precision, device: torch.device
) -> bool:
    """Whether feature maps are kept with the channels innermost; "auto" decides by the machine.

    On CPUs, steps are as fast or up to 15 % faster so in any precision; on GPUs, convolutions of
    reduced precision want it (tensor cores) and those of float32 do not.
    """
    if wanted == "auto":
        return device.type == "cpu" or (device.type == "cuda" and precision != "32")
    return wanted


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context to run a model in, outside of training."""
    if precision == "32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


def peak_memory(device: torch.device) -> int:
    """Most bytes held so far: allocated on a GPU, resident in this process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Makes the same step give the same bits on a CPU, whatever the number of its threads.

    Without it the gradient of indexing adds with atomics in whatever order threads arrive.
    Nothing changes on a GPU, where repeatable kernels are slow or missing.
    """
    if device.type != "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warn_before = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill_before = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # costs time and changes nothing
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_before)
        memory.fill_uninitialized_memory = fill_before
