"""Any backbone that timm can cut into levels; nothing is fetched from a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn

from tinyscope.errors import SettingsError
from tinyscope.nn.weights import load_weights


class TimmBackbone(nn.Module):
    """Levels of a model of timm's registry, random or filled from a local file.

    Args:
        model: Its name in timm.
        strides: The levels that come out, fine to coarse; None means all of stride 4 and more.
            What lies beyond the coarsest is not built where timm can leave it out.
        weights: File of pre-trained weights: timm's classification checkpoint of the same model,
            or a checkpoint of ours that holds this backbone.

    Raises:
        SettingsError: timm has no such model, or it has no such levels.
        CheckpointError: `weights` do not fit.
    """

    def __init__(
        self,
        model: str,
        *,
        strides: Sequence[PositiveInt] | None = None,
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        reached = _strides(model)
        self.strides = tuple(s for s in reached if s >= 4) if strides is None else tuple(strides)
        if not self.strides or self.strides != tuple(s for s in reached if s in self.strides):
            raise SettingsError(
                f"strides {self.strides} must be some of {model}'s {reached}, fine to coarse"
            )
        wanted = [reached.index(stride) for stride in self.strides]
        cut: Any = timm.create_model(
            model, pretrained=False, features_only=True, out_indices=wanted
        )
        self.channels = tuple(cut.feature_info.channels())
        # Swin and its kin keep the channels last.
        self._order = (0, 3, 1, 2) if getattr(cut, "output_fmt", "") == "NHWC" else (0, 1, 2, 3)
        self.model: nn.Module = cut
        if weights is not None:
            load_weights(self.model, weights, names=_file_names(model, self.model), unused=None)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Normalized images to levels (b, channels[i], h_i, w_i), fine to coarse."""
        return [level.permute(self._order) for level in self.model(images)]


def _strides(model: str) -> tuple[int, ...]:
    if not timm.is_model(model):
        near = timm.list_models(f"*{model.split('_')[0]}*")[:5]
        raise SettingsError(f"timm has no model {model!r}; some of its own: {', '.join(near)}")
    try:
        with torch.device("meta"):
            cut: Any = timm.create_model(model, pretrained=False, features_only=True)
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise SettingsError(f"timm cannot cut {model} into levels ({error})") from error
    return tuple(cut.feature_info.reduction())


def _file_names(model: str, cut: nn.Module) -> dict[str, str]:
    """Names of the whole model by those of the cut one, which says `stages_0` for `stages.0`."""
    with torch.device("meta"):
        whole = timm.create_model(model, pretrained=False).state_dict()
    names = {}
    for name in cut.state_dict():
        top, _, rest = name.partition(".")
        guesses = (name, rest, f"{'.'.join(top.rsplit('_', 1))}.{rest}")
        names[name] = next((guess for guess in guesses if guess in whole), name)
    return names
