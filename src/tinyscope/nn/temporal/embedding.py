"""Maps of several frames weighted by how alike they are to those of the key frame.

Zhu et al. 2017, "Flow-Guided Feature Aggregation for Video Object Detection", arXiv:1703.10025.
"""

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from tinyscope.errors import SettingsError

_SHORTEST = 1e-12


class EmbeddingAggregator(nn.Module):
    """The mean of maps, each cell weighted by the softmax of its cosine with the key frame's.

    Cosines are those of embeddings, which convolutions make of the maps; what is summed are the
    maps themselves. Weights of a cell are at most e^2 apart.

    Args:
        channels: Of the maps; supplied by the neck.
        convolutions: How many make the embedding; ReLUs stand between them, none at the end.
        kernel: Of each, an odd number.
        warp_embedding: What is told to the detector: the embedding of a frame is made once and
            moved with the flow like its maps, as in the paper's own code; much faster where a
            window of many frames slides. False: it is made of maps that were moved, for every key
            frame anew, as published checkpoints (MMTracking) learned it.

    Raises:
        SettingsError: `kernel` is even.
    """

    def __init__(
        self,
        channels: int,
        *,
        convolutions: PositiveInt = 1,
        kernel: PositiveInt = 3,
        warp_embedding: bool = False,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise SettingsError(
                f"kernel {kernel} must be odd, so that the embedding keeps its size"
            )
        self.warp_embedding = warp_embedding
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for _ in range(convolutions)
        )
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv2d)
            assert convolution.bias is not None
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(convolution.bias)

    def embed(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """What maps are compared by: not of unit length, so that it may be moved with the flow."""
        for i, convolution in enumerate(self.convolutions):
            features = convolution(functional.relu(features) if i else features)
        return features

    def similarities(
        self, key: Float[Tensor, "b c h w"], others: Float[Tensor, "b f c h w"]
    ) -> Float[Tensor, "b f h w"]:
        """Cosines in [-1, 1], float32, of embeddings; 0 where one has no direction."""
        key, others = key.float(), others.float()
        products = (key[:, None] * others).sum(dim=2)
        return products * _shares_of_length(key)[:, None] * _shares_of_length(others)

    def weights(
        self,
        key: Float[Tensor, "b c h w"],
        others: Float[Tensor, "b f c h w"],
        counts: Float[Tensor, "b f"] | None = None,
    ) -> Float[Tensor, "b f h w"]:
        """What each frame counts at each cell, 1 in sum over the frames.

        That is `counts * exp(similarities)` over its sum, which may be summed up in parts: cosines
        need no care for overflow.

        Args:
            key: Embedding of the key frames.
            others: Embeddings of the frames, moved to where things stand in the key frame.
            counts: How often each frame is counted: more than 1 where it stands in for missing
                ones, 0 where it fills up a shorter list. None: once each.
        """
        weights = self.similarities(key, others).exp()
        if counts is not None:
            weights = weights * counts[:, :, None, None]
        return weights / weights.sum(dim=1, keepdim=True)

    def forward(
        self,
        key: Float[Tensor, "b c h w"],
        others: Float[Tensor, "b f c h w"],
        counts: Float[Tensor, "b f"] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Maps of the key frames and maps of others, moved to them, to one map each.

        The key frame's own map is in the sum only where it stands among the others.

        Args:
            key: Maps that steer the weights.
            others: Maps that are summed.
            counts: As of `weights`.
        """
        embedded = self.embed(others.flatten(0, 1)).reshape(others.shape)
        weights = self.weights(self.embed(key), embedded, counts)
        return (weights[:, :, None].to(others.dtype) * others).sum(dim=1)


def _shares_of_length(embedded: Tensor) -> Tensor:
    """One over the length of embeddings (..., c, h, w), (..., h, w); 0 for zeros."""
    squares = embedded.square().sum(dim=-3)  # torch's norm is slow across maps
    directed = squares > _SHORTEST**2
    # Clamping the length would give the same values, but at zeros gradients of 1e12 with them.
    # Zeros do occur: a convolution whose bias is still 0 makes them of empty maps.
    return torch.where(directed, torch.where(directed, squares, 1.0).rsqrt(), 0.0)
