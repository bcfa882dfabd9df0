"""The dimensions of a backbone as its configuration states them, and the operations and bytes that
follow from them; no weights are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from covrr_utils.backbones.registry import UnknownBackbone, checkpoint_folder, list_backbones
from covrr_utils.backbones.sizes import (
    BYTES,
    QUANTIZATIONS,
    config_of,
    find,
    published_sizes,
    size_data,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig, Qwen3VLVideoProcessor


@dataclass(frozen=True)
class Dimensions:
    """What one forward pass costs.

    Attributes
    ----------
    width, layers : of the decoder: numbers of a state, decoder blocks
    used : weights of the decoder's blocks that one token passes through (of a mixture of experts
        those of the chosen ones)
    all_weights : weights in all
    vision_used : weights of the vision tower that one patch passes through
    merge : patches of a frame that become one token
    bytes_each : bytes of a weight
    cache : bytes that one token takes in the cache, in 16 bits a number
    """

    width: int
    layers: int
    used: int
    all_weights: int
    vision_used: int
    merge: int
    bytes_each: float
    cache: int

    @property
    def weights(self) -> float:
        """Bytes of the weights."""
        return self.all_weights * self.bytes_each

    def operations(self, prompt: float, video: float) -> float:
        """Operations for reading a prompt of so many tokens, of which ``video`` are the video's.

        Two for each weight and token, and two for each pair of tokens, layer and number of a state
        (four, of which attention that looks back needs half). What the patches of one frame attend
        to among themselves is left out.
        """
        decoder = 2 * self.used * prompt + 2 * self.layers * self.width * prompt**2
        return decoder + 2 * self.vision_used * video * self.merge


def dimensions(name: str, dtype: str = "bfloat16", quantization: str | None = None) -> Dimensions:
    """Those of an embedded or published backbone, or of a checkpoint folder.

    Raises
    ------
    UnknownBackbone
        For anything else.
    """
    config = _config(name)
    text, vision = config.text_config, config.vision_config
    heads = text.num_attention_heads * text.head_dim
    keys = text.num_key_value_heads * text.head_dim
    attention = text.hidden_size * (2 * heads + 2 * keys)
    experts = getattr(text, "num_experts", None)
    if experts:
        one = 3 * text.hidden_size * text.moe_intermediate_size
        used = attention + text.num_experts_per_tok * one + text.hidden_size * experts
        held = attention + experts * one + text.hidden_size * experts
    else:
        used = held = attention + 3 * text.hidden_size * text.intermediate_size
    merge = vision.spatial_merge_size**2
    patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    block = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    merged = vision.hidden_size * merge
    mergers = (
        (1 + len(vision.deepstack_visual_indexes)) * merged * (merged + vision.out_hidden_size)
    )
    tower = vision.depth * block + vision.hidden_size * patch
    head = text.vocab_size * text.hidden_size
    tied = getattr(config, "tie_word_embeddings", False)
    return Dimensions(
        width=text.hidden_size,
        layers=text.num_hidden_layers,
        used=text.num_hidden_layers * used,
        all_weights=text.num_hidden_layers * held + head * (1 if tied else 2) + tower + mergers,
        vision_used=tower + mergers // merge,
        merge=merge,
        bytes_each=QUANTIZATIONS[quantization] if quantization else BYTES[dtype],
        cache=2 * text.num_hidden_layers * keys * 2,
    )


def video_processor(name: str) -> Qwen3VLVideoProcessor:
    """The video processor of an embedded or published backbone, or of a checkpoint folder, as
    `covrr_utils.backbones.backbone.Backbone` sets it; errors are those of `dimensions`.
    """
    from transformers import AutoVideoProcessor, Qwen3VLVideoProcessor

    folder = checkpoint_folder(name)
    if folder is not None:
        processor = AutoVideoProcessor.from_pretrained(folder, trust_remote_code=False)
    else:
        _config(name)
        processor = Qwen3VLVideoProcessor(**size_data()["shared"]["video"])
    if processor.cap_pixels_per_frame is None:
        processor.cap_pixels_per_frame = True
    return processor


def _config(name: str) -> PretrainedConfig:
    from transformers import AutoConfig

    folder = checkpoint_folder(name)
    if folder is not None:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    published = find(name)
    if published is None:
        sizes = ", ".join(known for known in published_sizes() if "Instruct" in known)
        raise UnknownBackbone(
            f"the dimensions of {name!r} are not known here; give an embedded backbone"
            f" ({', '.join(list_backbones())}), a published one ({sizes}), or the folder of a"
            " checkpoint"
        )
    return config_of(published.name)
