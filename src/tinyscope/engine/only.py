"""Training of some parts of a model alone, such as the classifier of a trained detector."""

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from tinyscope.catalog import nearest
from tinyscope.errors import SettingsError


def learn_only(model: nn.Module, parts: Sequence[str]) -> int:
    """Freezes all parameters but those of the named parts; what is frozen already stays so.

    Args:
        model: Its parameters are changed in place.
        parts: Names of modules or parameters, such as `roi.head.classification`.

    Returns:
        How many numbers learn.

    Raises:
        SettingsError: A part is not there, or nothing in it can learn.
    """
    parameters = dict(model.named_parameters())
    names = list(parameters)
    for part in parts:
        own = [name for name in names if _inside(name, [part])]
        if own and not any(parameters[name].requires_grad for name in own):
            raise SettingsError(
                f"train.only: {part!r} is frozen by the model's own settings and would learn "
                "nothing; unfreeze it there, or take it out"
            )
        if not own:
            modules = [name for name, _ in model.named_modules() if name]
            top = dict.fromkeys(name.partition(".")[0] for name in names)
            raise SettingsError(
                f"train.only: the model has no part {part!r} with parameters"
                f"{nearest(part, [*modules, *names])} (parts: {', '.join(top)}, and what is "
                "inside them)"
            )
    for name, parameter in parameters.items():
        parameter.requires_grad_(parameter.requires_grad and _inside(name, parts))
    return sum(p.numel() for p in parameters.values() if p.requires_grad)


def fix_other_norms(model: nn.Module, parts: Sequence[str]) -> None:
    """Puts batch norms outside the named parts into eval mode: their statistics stay.

    To be called whenever the model was put into training mode.
    """
    for name, module in model.named_modules():
        if isinstance(module, _NormBase):
            own = [name, *(f"{name}.{key}" for key, _ in module.named_parameters(recurse=False))]
            if not any(_inside(each, parts) for each in own):
                module.eval()


def _inside(name: str, parts: Sequence[str]) -> bool:
    """Whether a module or parameter is one of the parts or in one; `layer1` has no `layer10`."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)
