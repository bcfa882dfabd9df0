"""The mini world: its rules, its renderer, its benchmark and the training of its backbones."""
