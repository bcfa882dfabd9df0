"""The smallest model that the tests train and ask: every part of a mini backbone, in miniature."""

from covrr_utils.mini.recipes import Recipe, Stage

TINY = Recipe(
    text_width=48,
    text_layers=2,
    text_heads=2,
    text_mlp=64,
    vision_width=32,
    vision_layers=2,
    vision_heads=2,
    stages=(Stage("text", 2, batch=2), Stage("vision", 2, batch=2), Stage("text", 2, batch=2)),
)
