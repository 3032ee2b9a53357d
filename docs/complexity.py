"""Writes the tables of complexity.md: what the published networks cost here and in the papers.

    python docs/complexity.py

The figures on the right are of Ning et al. 2023, arXiv:2303.11267: Table 4, and the multiply-adds
that Tables 6 and 7 print beside the detectors.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tinyscope.analysis.complexity import Complexity, complexity
from tinyscope.detectors.build import build
from tinyscope.nn.backbones import BACKBONES
from tinyscope.settings import load_recipe

PAGE = Path(__file__).with_suffix(".md")
SIZE = (512, 640)

NETWORKS: dict[str, dict[str, Any]] = {
    "resnet50": {"name": "resnet", "norm_affine": False, "frozen_stages": 1},
    "bh_resnet50": {"name": "bottom_heavy", "norm_affine": False},
    "hrnet32": {"name": "hrnet", "width": 32},
    "bh_hrnet32": {"name": "bottom_heavy_hrnet", "width": 32},
    "hrnet18": {"name": "hrnet", "width": 18},
    "bh_hrnet18": {"name": "bottom_heavy_hrnet", "width": 18},
}
"""Backbones as the detectors of the paper train them."""

_FASTER = load_recipe("quick/faster_rcnn").model
_FPN = _FASTER["neck"]
DETECTORS: dict[str, dict[str, Any]] = {
    "faster_fpn": _FASTER,
    "faster_fpn_single_anchor": _FASTER
    | {"rpn": _FASTER["rpn"] | {"priors": {"name": "anchors", "scale": 2, "ratios": [1.0]}}},
    "faster_hrfpn": _FASTER | {"neck": {"name": "hrfpn", "coarsest": 64}},
    "adap_fcos": {
        "name": "dense",
        "neck": _FPN | {"extra": "conv_output"},
        "head": {"name": "fcos", "norm": "none"},
        "priors": {"name": "points"},
        "assigner": {"name": "center"},
        "sampler": {"name": "all"},
        "coder": {"name": "distance"},
    },
    **{
        f"{short}_sspnet": load_recipe(f"sspnet/{name}_resnet50_imagenet").model
        for short, name in (
            ("faster", "faster_rcnn"),
            ("cascade", "cascade_rcnn"),
            ("retina", "retinanet"),
            ("fovea", "fovea"),
        )
    },
}
"""Models without their backbones."""

TABLE_4 = {  # name, parameters in millions, G multiply-adds
    "resnet50": ("ResNet50", 23.23, 26.91),
    "bh_resnet50": ("BH-ResNet50", 10.91, 27.12),
    "hrnet32": ("HRNet32", 29.31, 51.93),
    "bh_hrnet32": ("BH-HRNet32", 12.36, 51.89),
    "hrnet18": ("HRNet18", 9.56, 21.71),
    "bh_hrnet18": ("BH-HRNet18", 5.85, 21.66),
}
TABLES_6_7 = {
    "faster_fpn/resnet50": ("Faster R-CNN, FPN", 75.58),
    "faster_fpn/bh_resnet50": ("Faster R-CNN, FPN", 75.79),
    "faster_hrfpn/hrnet32": ("Faster R-CNN, HRFPN", 100.66),
    "faster_hrfpn/bh_hrnet32": ("Faster R-CNN, HRFPN", 100.62),
    "faster_hrfpn/hrnet18": ("Faster R-CNN, HRFPN", 69.33),
    "faster_hrfpn/bh_hrnet18": ("Faster R-CNN, HRFPN", 69.28),
    "adap_fcos/resnet50": ("Adap-FCOS", 174.74),
    "adap_fcos/bh_resnet50": ("Adap-FCOS", 174.95),
    "retina_sspnet/resnet50": ("RetinaNet, SSPNet", 260.06),
    "retina_sspnet/bh_resnet50": ("RetinaNet, SSPNet", 260.27),
    "cascade_sspnet/resnet50": ("Cascade R-CNN, SSPNet", 186.62),
    "cascade_sspnet/bh_resnet50": ("Cascade R-CNN, SSPNet", 186.83),
    "faster_sspnet/resnet50": ("Faster R-CNN, SSPNet", 158.82),
    "faster_sspnet/bh_resnet50": ("Faster R-CNN, SSPNet", 159.03),
}


def backbone(name: str, options: Mapping[str, Any] | None = None) -> torch.nn.Module:
    """A network without values; with other options than in `NETWORKS` where they are given."""
    with torch.device("meta"):
        network: torch.nn.Module = BACKBONES.build(options or NETWORKS[name], "backbone")
    return network


def detector(name: str) -> torch.nn.Module:
    """A detector for one class without values, such as `faster_fpn/resnet50`."""
    method, _, network = name.partition("/")
    with torch.device("meta"):
        return build(DETECTORS[method] | {"backbone": NETWORKS[network]}, 1)


def tables() -> dict[str, str]:
    """The tables by the marks that they stand between on the page."""
    networks = {name: complexity(backbone(name), SIZE) for name in TABLE_4}
    return {
        "backbones": "\n".join(_backbone_rows(networks)),
        "shares": "\n".join(_share_rows(networks)),
        "detectors": "\n".join(_detector_rows()),
    }


def filled(page: str, made: Mapping[str, str]) -> str:
    """The page with its tables replaced."""
    for mark, table in made.items():
        begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return page


def _backbone_rows(networks: Mapping[str, Complexity]) -> list[str]:
    rows = [
        "| backbone | parameters M | as counted M | paper M | published G | paper G | off | "
        "multiply-adds G | memory MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, (title, millions, billions) in TABLE_4.items():
        total = networks[name].together()
        all_train = {k: v for k, v in NETWORKS[name].items() if k in ("name", "width")}
        memory = total.saved_bytes
        if all_train != NETWORKS[name]:
            memory = complexity(backbone(name, all_train), SIZE).together().saved_bytes
        counted = total.trainable / 1e6
        found = total.published / 1e9
        rows.append(
            f"| {title} | {total.parameters / 1e6:.3f} | {counted:.3f} | {millions:.2f} "
            f"| {found:.3f} | {billions:.2f} | {found / billions - 1:+.2%} "
            f"| {total.multiply_adds / 1e9:.3f} | {memory / 1e6:.0f} |"
        )
    return rows


def _share_rows(networks: Mapping[str, Complexity]) -> list[str]:
    stages = list(networks["resnet50"].shares)
    rows = [f"| % | {' | '.join(stages)} |", "|---" * (len(stages) + 1) + "|"]
    for name, (title, _, _) in TABLE_4.items():
        shares = networks[name].shares
        rows.append(f"| {title} | {' | '.join(f'{100 * shares[s]:.2f}' for s in stages)} |")
    return rows


def _detector_rows() -> list[str]:
    rows = ["| detector | backbone | published G | paper G | off |", "|---|---|---|---|---|"]
    for name, (title, billions) in TABLES_6_7.items():
        found = complexity(detector(name), SIZE).together().published / 1e9
        network = TABLE_4[name.partition("/")[2]][0]
        rows.append(
            f"| {title} | {network} | {found:.3f} | {billions:.2f} | {found / billions - 1:+.2%} |"
        )
    return rows


if __name__ == "__main__":
    old = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(filled(old, tables()), encoding="utf-8")
