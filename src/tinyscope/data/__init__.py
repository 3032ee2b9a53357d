"""From files to samples to batches.

The tables name what settings may ask for; a new row is one new file and one line here.
"""

from tinyscope.catalog import Table

DATASETS = Table(
    "dataset",
    {
        "folder": "tinyscope.data.datasets:folder",
        "coco": "tinyscope.data.datasets:coco",
        "yolo": "tinyscope.data.datasets:yolo",
        "voc": "tinyscope.data.datasets:voc",
        "tinyperson": "tinyscope.data.benchmarks:tinyperson",
        "ai_tod": "tinyscope.data.benchmarks:ai_tod",
        "dota": "tinyscope.data.benchmarks:dota",
        "visdrone": "tinyscope.data.benchmarks:visdrone",
        "tiny_citypersons": "tinyscope.data.benchmarks:tiny_citypersons",
        "imagenet_vid": "tinyscope.data.benchmarks:imagenet_vid",
        "synthetic": "tinyscope.data.synthetic:synthetic",
    },
)

WINDOWS = Table(
    "windows",
    {
        "whole": "tinyscope.data.windows.whole:WholeImages",
        "grid": "tinyscope.data.windows.grid:GridWindows",
        "random": "tinyscope.data.windows.aimed:RandomWindows",
    },
)

REFERENCES = Table(
    "references",
    {
        "bilateral": "tinyscope.data.clips.references:BilateralReferences",
        "uniform": "tinyscope.data.clips.references:UniformReferences",
    },
)

TRANSFORMS = Table(
    "transform",
    {
        "flip": "tinyscope.data.transforms.flip:Flip",
        "turn": "tinyscope.data.transforms.turn:Turn",
        "scale": "tinyscope.data.transforms.scale:Scale",
        "scale_match": "tinyscope.data.transforms.scale_match:scale_match",
        "instance_match": "tinyscope.data.transforms.instance_match:instance_match",
        "fit": "tinyscope.data.transforms.fit:Fit",
        "fit_range": "tinyscope.data.transforms.fit_range:FitRange",
        "crop": "tinyscope.data.transforms.crop:Crop",
        "shift_rotate": "tinyscope.data.transforms.shift_rotate:ShiftRotate",
        "photometric": "tinyscope.data.transforms.photometric:Photometric",
        "blur": "tinyscope.data.transforms.blur:Blur",
        "box_blur": "tinyscope.data.transforms.box_blur:BoxBlur",
        "motion_blur": "tinyscope.data.transforms.motion_blur:MotionBlur",
        "median": "tinyscope.data.transforms.median:Median",
        "noise": "tinyscope.data.transforms.noise:Noise",
        "jpeg": "tinyscope.data.transforms.jpeg:Jpeg",
        "brightness_contrast": "tinyscope.data.transforms.brightness_contrast:BrightnessContrast",
        "color_shift": "tinyscope.data.transforms.color_shift:ColorShift",
        "hsv_shift": "tinyscope.data.transforms.hsv_shift:HsvShift",
        "channel_shuffle": "tinyscope.data.transforms.channel_shuffle:ChannelShuffle",
        "one_of": "tinyscope.data.transforms.one_of:one_of",
    },
)
