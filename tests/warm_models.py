"""What the copies of `copies` need and takes long to import, for runs with a model. It starts no
thread, as a copy has none of them.
"""

from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

from covrr_utils.experiments import run

__all__ = ["AutoProcessor", "Qwen3VLForConditionalGeneration", "run"]
