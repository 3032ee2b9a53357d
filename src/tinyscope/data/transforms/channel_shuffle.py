"""Colors that change places."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from tinyscope.data.checks import check_share
from tinyscope.types import Sample


@dataclass(frozen=True)
class ChannelShuffle:
    """Red, green and blue in another order; all six orders, the present one too, are as likely."""

    probability: float = 0.1

    def __post_init__(self) -> None:
        check_share("probability", self.probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        wanted = random.random() < self.probability
        order = torch.from_numpy(random.permutation(3))
        return replace(sample, image=sample.image[order]) if wanted else sample
