"""What the model is shown of one video: to look at, and to check a sampling by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from covrr_utils.backbones.generation import Prompt
from covrr_utils.video.clips import Clip

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone


def sampled(backbone: Backbone, clip: Clip) -> dict[str, object]:
    """What was sampled when, the size it is scaled to, the visual tokens, and the time stamps as
    they stand in the prompt.

    The processor takes the frames as they are, two to a temporal patch; a patch's time stamp is the
    mean of its two frames' times, taken from the file's own metadata. The same settings hold for
    gallery and query. In the prompt every temporal patch is ``<t seconds>`` and its visual tokens
    between a pair of vision tokens; transformers keeps the chat template's own pair around the
    whole video (since 5.10; before, it was dropped).
    """
    inputs = backbone.inputs([Prompt(clip, "")])
    text = backbone.processor.tokenizer.decode(inputs["input_ids"][0])
    frames, rows, columns = inputs["video_grid_thw"][0].tolist()
    video = backbone.processor.video_processor
    return {
        "frames in the file": clip.metadata.total_num_frames,
        "frames per second": round(clip.metadata.fps or 0.0, 3),
        "sampled": len(clip.frames),
        "times (s)": [round(float(time), 2) for time in clip.times],
        "size in the file": f"{clip.metadata.width} x {clip.metadata.height}",
        "size for the model": f"{columns * video.patch_size} x {rows * video.patch_size}",
        "temporal patches": frames,
        "visual tokens": frames * rows * columns // video.merge_size**2,
        "time stamps": re.findall(r"<([\d.]+) seconds>", text),
        "pixel budget": video.size["longest_edge"],
        "pixels used": len(clip.frames) * rows * columns * video.patch_size**2,
    }
