"""Everything with weights: backbones, necks and heads."""
