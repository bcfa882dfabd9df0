"""What the copies of `copies` need and takes long to import, for runs with a model. It starts no
thread, as a copy has none of them.
"""

from transformers import AutoProcessor, Qwen3VLForConditionalGeneration
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from covrr_utils.experiments import run

get_checkpoint_conversion_mapping(
    "qwen3_vl"
)  # kept, and long in the making: patterns of all models

__all__ = ["AutoProcessor", "Qwen3VLForConditionalGeneration", "run"]
