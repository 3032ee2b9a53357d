"""Names and shapes of a published detector against the key table of ours."""

from collections.abc import Mapping, Sequence

import torch

from tinyscope.detectors.build import build
from tinyscope.detectors.published import LAYOUTS, fit, tensors_of
from tinyscope.settings import load_recipe


def assert_maps(
    manifest: Mapping[str, Sequence[int]],
    recipe: str,
    overrides: Sequence[str],
    classes: int = 1,
) -> None:
    """Every tensor has its place and shape on both sides, and comes back as it was."""
    with torch.device("meta"):
        model = build(load_recipe(recipe, overrides).model, classes)
    tensors = {name: torch.rand(shape) for name, shape in manifest.items()}
    layout = LAYOUTS["mmdet"]
    keys = layout.keys(model)
    found = fit(tensors, keys, layout.renamed)
    assert (found.missing, found.left_over) == ((), ())
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in found.values.items()} == shapes
    back = tensors_of(found.values, keys)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in back)
