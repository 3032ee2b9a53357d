"""tinyscope finds objects of 2 to 32 pixels: train, evaluate, predict.

The names below are imported on first use, so that `import tinyscope` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyscope.analysis.assignment_report import AssignmentReport
    from tinyscope.analysis.attention import AttentionReport
    from tinyscope.analysis.data_report import DataReport
    from tinyscope.analysis.fusion import FusionReport
    from tinyscope.analysis.model_report import ModelReport
    from tinyscope.analysis.size_report import SizeReport
    from tinyscope.engine.analyze_assignment import analyze_assignment
    from tinyscope.engine.analyze_attention import analyze_attention
    from tinyscope.engine.analyze_data import analyze_data
    from tinyscope.engine.analyze_fusion import analyze_fusion
    from tinyscope.engine.analyze_model import analyze_model
    from tinyscope.engine.analyze_sizes import analyze_sizes
    from tinyscope.engine.convert import convert
    from tinyscope.engine.detector import Detector, load
    from tinyscope.engine.evaluate import evaluate_files as evaluate
    from tinyscope.engine.evaluate_model import evaluate_model
    from tinyscope.engine.import_checkpoint import Imported, import_checkpoint
    from tinyscope.engine.merge import Merged, merge
    from tinyscope.engine.predict import predict
    from tinyscope.engine.pretrain import pretrain
    from tinyscope.engine.report import report
    from tinyscope.engine.run import Run
    from tinyscope.engine.train import train
    from tinyscope.errors import TinyscopeError
    from tinyscope.evaluation import Result
    from tinyscope.pretraining import PretrainRecipe
    from tinyscope.settings import Recipe, load_recipe
    from tinyscope.types import Detections, Sample, Target

_HOME = {
    "AssignmentReport": "tinyscope.analysis.assignment_report:AssignmentReport",
    "AttentionReport": "tinyscope.analysis.attention:AttentionReport",
    "DataReport": "tinyscope.analysis.data_report:DataReport",
    "Detections": "tinyscope.types:Detections",
    "Detector": "tinyscope.engine.detector:Detector",
    "FusionReport": "tinyscope.analysis.fusion:FusionReport",
    "Imported": "tinyscope.engine.import_checkpoint:Imported",
    "Merged": "tinyscope.engine.merge:Merged",
    "ModelReport": "tinyscope.analysis.model_report:ModelReport",
    "PretrainRecipe": "tinyscope.pretraining:PretrainRecipe",
    "Recipe": "tinyscope.settings:Recipe",
    "Result": "tinyscope.evaluation:Result",
    "Run": "tinyscope.engine.run:Run",
    "Sample": "tinyscope.types:Sample",
    "SizeReport": "tinyscope.analysis.size_report:SizeReport",
    "Target": "tinyscope.types:Target",
    "TinyscopeError": "tinyscope.errors:TinyscopeError",
    "analyze_assignment": "tinyscope.engine.analyze_assignment:analyze_assignment",
    "analyze_attention": "tinyscope.engine.analyze_attention:analyze_attention",
    "analyze_data": "tinyscope.engine.analyze_data:analyze_data",
    "analyze_fusion": "tinyscope.engine.analyze_fusion:analyze_fusion",
    "analyze_model": "tinyscope.engine.analyze_model:analyze_model",
    "analyze_sizes": "tinyscope.engine.analyze_sizes:analyze_sizes",
    "convert": "tinyscope.engine.convert:convert",
    "evaluate": "tinyscope.engine.evaluate:evaluate_files",
    "evaluate_model": "tinyscope.engine.evaluate_model:evaluate_model",
    "import_checkpoint": "tinyscope.engine.import_checkpoint:import_checkpoint",
    "load": "tinyscope.engine.detector:load",
    "load_recipe": "tinyscope.settings:load_recipe",
    "merge": "tinyscope.engine.merge:merge",
    "predict": "tinyscope.engine.predict:predict",
    "pretrain": "tinyscope.engine.pretrain:pretrain",
    "report": "tinyscope.engine.report:report",
    "train": "tinyscope.engine.train:train",
}

__all__ = [
    "AssignmentReport",
    "AttentionReport",
    "DataReport",
    "Detections",
    "Detector",
    "FusionReport",
    "Imported",
    "Merged",
    "ModelReport",
    "PretrainRecipe",
    "Recipe",
    "Result",
    "Run",
    "Sample",
    "SizeReport",
    "Target",
    "TinyscopeError",
    "analyze_assignment",
    "analyze_attention",
    "analyze_data",
    "analyze_fusion",
    "analyze_model",
    "analyze_sizes",
    "convert",
    "evaluate",
    "evaluate_model",
    "import_checkpoint",
    "load",
    "load_recipe",
    "merge",
    "predict",
    "pretrain",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tinyscope' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value  # next time without this function
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
