import pytest
import torch

from tinyscope.engine import machine
from tinyscope.engine.machine import (
    autocast,
    choose_channels_last,
    choose_precision,
    native_bfloat16,
    peak_memory,
    repeatable,
)
from tinyscope.errors import SettingsError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("model name : bf16\nflags\t\t: fpu avx2 avx512f\n", False),
        ("", False),
    ],
)
def test_native_bfloat16_is_read_from_the_flags(tmp_path, text, native):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert native_bfloat16(path) is native
    assert not native_bfloat16(tmp_path / "none")


def test_auto_takes_bfloat16_where_it_is_native(monkeypatch):
    monkeypatch.setattr(machine, "native_bfloat16", lambda: True)
    assert choose_precision("auto", CPU) == "bf16"
    monkeypatch.setattr(machine, "native_bfloat16", lambda: False)
    assert choose_precision("auto", CPU) == "32"
    assert choose_precision("bf16", CPU) == "bf16"


def test_half_precision_without_a_gpu_and_unknown_words_are_refused():
    with pytest.raises(SettingsError, match="16 needs a GPU; use bf16"):
        choose_precision("16", CPU)
    with pytest.raises(SettingsError, match="'8' is not known; use auto, 32"):
        choose_precision("8", CPU)


def test_channels_last_suits_cpus_and_reduced_precision_on_gpus():
    gpu, other = torch.device("cuda"), torch.device("mps")
    assert choose_channels_last("auto", "bf16", CPU)
    assert choose_channels_last("auto", "32", CPU)
    assert choose_channels_last("auto", "bf16", gpu)
    assert not choose_channels_last("auto", "32", gpu)
    assert not choose_channels_last("auto", "bf16", other)
    assert choose_channels_last(True, "32", other)
    assert not choose_channels_last(False, "bf16", CPU)


def test_autocast_gives_the_chosen_type():
    layer, x = torch.nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)
    with autocast("bf16", CPU):
        assert layer(x).dtype == torch.bfloat16
    with autocast("32", CPU):
        assert layer(x).dtype == torch.float32


def test_memory_is_in_bytes():
    assert 10e6 < peak_memory(CPU) < 1e12


def test_repeatable_leaves_no_trace():
    with repeatable(CPU):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
