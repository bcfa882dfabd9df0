"""One frozen Qwen3-VL with two verbs: `write` answers prompts with text, `describe` also keeps the
states behind every token.

The embedded mini backbones are ordinary checkpoint folders: nothing here knows them. What the
paper's code calls "penultimate" is the input of ``lm_head``, the final post-norm hidden state; it
is read here by a hook on that input, at every step of generation.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import GenerationConfig

from covrr_utils.backbones.checkpoints import load_checkpoint
from covrr_utils.backbones.constraint import Compiled, GrammarProcessor, compile_form
from covrr_utils.backbones.description import Description, NotFinite
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.video.clips import Clip, Sampling

# no budget makes a frame smaller than this (times 1.05): the floor of the published processors
FRAME_PIXELS = 64 * 64


class Backbone:
    """A frozen vision-language model behind its processor. Make one with `Backbone.load`."""

    def __init__(
        self,
        name: str,
        model,
        processor,
        weights: Path | str,
        batch_size: int,
        quantization: str | None = None,
    ):
        self.name, self.model, self.processor, self.weights, self.batch_size = (
            name,
            model.eval(),
            processor,
            weights,
            batch_size,
        )
        self.quantization = quantization
        processor.tokenizer.padding_side = "left"
        video = processor.video_processor
        if video.cap_pixels_per_frame is None:
            video.cap_pixels_per_frame = True
        count = {"fps": video.fps} if video.num_frames is None else {"num_frames": video.num_frames}
        self.sampling = Sampling(**count, min_frames=video.min_frames, max_frames=video.max_frames)
        own = model.generation_config
        ends = [own.eos_token_id] if isinstance(own.eos_token_id, int) else own.eos_token_id or []
        self.end_ids = sorted({*ends, processor.tokenizer.eos_token_id})
        self.max_new_tokens = own.max_new_tokens or Generation.max_new_tokens
        opening = processor.apply_chat_template(
            [{"role": "user", "content": ""}], tokenize=False, add_generation_prompt=True
        )
        # a Thinking edition: what it says begins after </think>
        self.thinks = opening.rstrip().endswith("<think>")
        self.generated_tokens = 0  # by all calls so far: what strategies cost
        self._compiled: dict[str, Compiled] = {}
        # the checkpoint's sampling habits must not leak into greedy runs
        model.generation_config = GenerationConfig()

    @classmethod
    def load(
        cls,
        name: str | Path,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 32,
        *,
        attention: str | None = None,
        device_map: str | None = None,
        quantization: str | None = None,
        revision: str | None = None,
        fps: float | None = None,
        num_frames: int | None = None,
        video_pixels: int | None = None,
    ) -> Backbone:
        """Load a checkpoint by name, folder or hub id; see `load_checkpoint` for what can be asked
        for and what can go wrong.

        ``fps``, ``num_frames`` and ``video_pixels`` are those of `sample_as`.
        """
        shown, model, processor, weights = load_checkpoint(
            name, device, dtype, attention, device_map, quantization, revision
        )
        backbone = cls(shown, model, processor, weights, batch_size, quantization)
        backbone.sample_as(fps, num_frames, video_pixels)
        return backbone

    def sample_as(
        self,
        fps: float | None = None,
        num_frames: int | None = None,
        video_pixels: int | None = None,
    ) -> None:
        """Take frames from videos in another way than the checkpoint says; gallery and queries
        alike.

        Parameters
        ----------
        fps : frames a second, or instead ``num_frames``: frames a video, evenly spread
        video_pixels : budget of a whole video (frames x height x width); larger ones are scaled
            down, but no frame below about 64 x 64. Published checkpoints: 25,165,824

        Raises
        ------
        ValueError If both ``fps`` and ``num_frames`` are given, or the budget is below the
            checkpoint's smallest.
        """
        video = self.processor.video_processor
        if fps is not None or num_frames is not None:
            self.sampling = replace(self.sampling, fps=fps, num_frames=num_frames)
        if video_pixels is not None:
            smallest = min(video.size["shortest_edge"], FRAME_PIXELS)
            if video_pixels < smallest:
                raise ValueError(
                    f"video_pixels is {video_pixels}, below the smallest budget of {smallest}"
                )
            video.size = {"shortest_edge": smallest, "longest_edge": video_pixels}

    @cached_property
    def weights_hash(self) -> str:
        """16 hex digits of the SHA-256 over the safetensors files, in name order (hub models: over
        the id and the commit).
        """
        if isinstance(self.weights, str):
            return hashlib.sha256(f"{self.name}@{self.weights}".encode()).hexdigest()[:16]
        total = hashlib.sha256()
        for file in sorted(self.weights.glob("*.safetensors")):
            with open(file, "rb") as stream:
                while block := stream.read(1 << 24):
                    total.update(block)
        return total.hexdigest()[:16]

    def parameters(self) -> int:
        """Number of weights, tied ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def info(self) -> dict:
        """What a result has to say about its backbone."""
        return {
            "name": self.name,
            "class": type(self.model).__name__,
            "parameters": self.parameters(),
            "dtype": str(self.model.dtype).split(".")[-1],
            "device": self.device(),
            "weights_hash": self.weights_hash,
            "sampling": self.sampling.to_dict(),
            "video_pixels": self.processor.video_processor.size["longest_edge"],
            "attention": self.model.config._attn_implementation,
            "quantization": self.quantization,
            "commit": self.weights if isinstance(self.weights, str) else None,
            "memory_gb": round(self.model.get_memory_footprint() / 1e9, 3),
        }

    def device(self) -> str:
        """Where the weights lie; several places with a device map."""
        places = getattr(self.model, "hf_device_map", None)
        return (
            ", ".join(sorted({str(place) for place in places.values()}))
            if places
            else str(self.model.device)
        )

    def processing(self) -> str:
        """Canonical JSON of everything in the processor that shapes a prompt: it is part of every
        store key.
        """
        video = self.processor.video_processor
        size = {edge: video.size[edge] for edge in ("shortest_edge", "longest_edge")}
        return json.dumps(
            {
                "size": size,
                "cap": video.cap_pixels_per_frame,
                "template": self.processor.chat_template,
            },
            sort_keys=True,
        )

    def inputs(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        """Model inputs for a batch of prompts, padded on the left.

        Frames and their metadata are passed as they were sampled.
        """
        turns = [
            [
                {
                    "role": "user",
                    "content": [{"type": "video"}, {"type": "text", "text": prompt.text}],
                }
            ]
            for prompt in prompts
        ]
        texts = [
            self.processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            for turn in turns
        ]
        inputs = self.processor(
            text=texts,
            videos=[prompt.clip.frames for prompt in prompts],
            video_metadata=[prompt.clip.metadata for prompt in prompts],
            do_sample_frames=False,
            padding=True,
            return_tensors="pt",
        )
        return inputs.to(self.model.device)

    def write(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
    ) -> list[str]:
        """One text per prompt, in order."""
        return [description.text for description in self.describe(prompts, generation, desc)]

    def describe(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
        layers: Sequence[float] = (),
    ) -> list[Description]:
        """One `Description` per prompt, in order; ``desc`` shows a progress bar of that name.

        ``layers``: depths in (0, 1] of decoder blocks whose outputs are kept too (see `blocks_at`).

        Raises
        ------
        RuntimeError
            If the states could not be captured.
        NotFinite
            If a state is not finite.
        """
        generation = generation or Generation()
        found: list[Description] = []
        with tqdm(total=len(prompts), desc=desc, disable=desc is None) as bar:
            for start in range(0, len(prompts), self.batch_size):
                batch = prompts[start : start + self.batch_size]
                found += self._generate(batch, generation, self.blocks_at(layers))
                bar.update(len(batch))
        return found

    def blocks_at(self, depths: Sequence[float]) -> list[torch.nn.Module]:
        """The decoder blocks at these depths: 1.0 is the last one, 0.5 the one in the middle
        (rounded, half up).

        Raises
        ------
        ValueError
            If a depth is not in (0, 1].
        """
        blocks = self.model.model.language_model.layers
        if wrong := [depth for depth in depths if not 0 < depth <= 1]:
            raise ValueError(
                f"layers are depths in (0, 1], such as 0.5 for the middle block; got {wrong[0]!r}"
            )
        return [blocks[max(int(depth * len(blocks) + 0.5), 1) - 1] for depth in depths]

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> list[Description]:
        """Each text as a `Description`, read by the model in a user turn of its own, without a
        video; nothing is generated.

        ``states[t]`` is the final state at the place before token t, as for generated tokens.
        """
        tokenizer, found = self.processor.tokenizer, []
        for text in texts:
            turn = [{"role": "user", "content": [{"type": "text", "text": text}]}]
            chat = self.processor.apply_chat_template(turn, tokenize=False)
            encoded = tokenizer(chat, return_offsets_mapping=True, return_tensors="pt").to(
                self.model.device
            )
            spans, begin = encoded.pop("offset_mapping")[0].tolist(), chat.rindex(text)
            kept = [
                i
                for i, (start, end) in enumerate(spans)
                if start < begin + len(text) and end > begin
            ]
            states = self.model.model(**encoded).last_hidden_state[0, [i - 1 for i in kept]]
            ids = encoded["input_ids"][0, kept]
            logprobs = (
                self.model.get_output_embeddings()(states)
                .float()
                .log_softmax(-1)
                .gather(1, ids[:, None])[:, 0]
            )
            found.append(
                Description(
                    text,
                    [tokenizer.decode([token]) for token in ids.tolist()],
                    ids.cpu().numpy(),
                    states.float().cpu().numpy(),
                    logprobs.cpu().numpy(),
                    True,
                    np.zeros(len(kept), bool),
                )
            )
        return found

    def _config(self, generation: Generation) -> GenerationConfig:
        sampled = (
            {
                "temperature": generation.temperature,
                "top_p": generation.top_p,
                "top_k": generation.top_k,
            }
            if generation.do_sample
            else {}
        )
        return GenerationConfig(
            max_new_tokens=generation.max_new_tokens,
            do_sample=generation.do_sample,
            eos_token_id=self.end_ids,
            **sampled,
            pad_token_id=self.processor.tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=True,
        )

    def _processors(self, inputs, generation: Generation) -> list[GrammarProcessor]:
        """The grammar's processor for one call of ``generate``; none without a grammar.

        Each grammar is compiled once per backbone.
        """
        if generation.grammar is None:
            return []
        if generation.grammar not in self._compiled:
            vocabulary = self.model.get_output_embeddings().weight.shape[0]
            self._compiled[generation.grammar] = compile_form(
                generation.grammar, self.processor.tokenizer, vocabulary, self.end_ids
            )
        return [
            GrammarProcessor(
                self._compiled[generation.grammar],
                inputs["input_ids"].shape[1],
                generation.max_new_tokens,
            )
        ]

    @torch.inference_mode()
    def _generate(
        self, prompts: Sequence[Prompt], generation: Generation, blocks: Sequence[torch.nn.Module]
    ) -> list[Description]:
        """Generate for one batch.

        Sampling is seeded by the decoding's seed and the batch's own texts and clips, not by what
        ran before.
        """
        states, visual = [], []
        layers: list[list[torch.Tensor]] = [[] for _ in blocks]
        head = self.model.get_output_embeddings()
        if generation.do_sample:
            content = json.dumps([generation.seed, *((p.clip.id, p.text) for p in prompts)])
            torch.manual_seed(int.from_bytes(hashlib.sha256(content.encode()).digest()[:7], "big"))
        with ExitStack() as hooks:
            hooks.callback(
                head.register_forward_pre_hook(
                    lambda module, args: states.append(_newest(args[0]))
                ).remove
            )
            hooks.callback(
                self.model.model.visual.register_forward_hook(
                    lambda module, args, out: visual.append(out.pooler_output)
                ).remove
            )
            for block, kept in zip(blocks, layers):
                hooks.callback(
                    block.register_forward_hook(
                        lambda module, args, out, kept=kept: kept.append(_newest(out))
                    ).remove
                )
            inputs = self.inputs(prompts)
            output = self.model.generate(
                **inputs,
                generation_config=self._config(generation),
                logits_processor=self._processors(inputs, generation),
            )
        new = output.sequences[:, inputs["input_ids"].shape[1] :].cpu()
        if len(states) != new.shape[1] or states[0].shape[0] != len(prompts):
            raise RuntimeError(
                f"captured {len(states)} states for {new.shape[1]} generated tokens; the model does"
                f" not pass its states through {type(head).__name__} once per token, so it cannot"
                " be used as a backbone"
            )
        logprobs = torch.stack(
            [logits.float().log_softmax(-1).cpu() for logits in output.logits], 1
        ).gather(2, new[..., None])[..., 0]
        stacked = torch.stack(states, 1)
        # (B, L, T, D)
        deeper = torch.stack([torch.stack(kept, 1) for kept in layers], 1) if layers else None
        merged = self.model.model.visual.spatial_merge_size**2
        videos = (
            visual[0].float().cpu().split((inputs["video_grid_thw"].prod(-1) // merged).tolist())
        )
        found = []
        for row, prompt in enumerate(prompts):
            extra = {
                "layers": None if deeper is None else deeper[row],
                "vision": videos[row].mean(0),
            }
            found.append(
                self._description(new[row], stacked[row], logprobs[row], prompt.clip.id, **extra)
            )
        self.generated_tokens += sum(len(description.tokens) for description in found)
        return found

    def _description(self, ids, states, logprobs, clip: str, layers, vision) -> Description:
        """Cut one row after its end-of-turn token; the tokens of a thought count as special.

        ids, logprobs: (T,); states: (T, D); layers: (L, T, D) or None; vision: (D,).
        """
        tokenizer = self.processor.tokenizer
        ends = torch.isin(ids, torch.tensor(self.end_ids)).nonzero()
        length = int(ends[0]) + 1 if len(ends) else len(ids)
        ids = ids[:length]
        spoken = 0
        if self.thinks:
            closed = (ids == tokenizer.convert_tokens_to_ids("</think>")).nonzero()
            # a thought that never ends says nothing
            spoken = int(closed[0]) + 1 if len(closed) else length
        if not torch.isfinite(states[:length]).all():
            raise NotFinite(
                f"the states of the description of {clip!r} are not finite; try another dtype"
            )
        return Description(
            text=tokenizer.decode(ids[spoken:], skip_special_tokens=True).strip(),
            tokens=[tokenizer.decode([token]) for token in ids.tolist()],
            token_ids=ids.numpy().astype(np.int64),
            states=states[:length].numpy().astype(np.float32),
            logprobs=logprobs[:length].numpy().astype(np.float32),
            ended=bool(len(ends)),
            special=np.isin(ids.numpy(), [*tokenizer.all_special_ids, *self.end_ids])
            | (np.arange(length) < spoken),
            layers=None if layers is None else layers[:, :length].numpy().astype(np.float32),
            vision=vision.numpy().astype(np.float32),
        )


def _newest(states: torch.Tensor) -> torch.Tensor:
    """The states at the last position of each row: (B, S, D) -> (B, D) float32 on the CPU."""
    return states[:, -1].float().cpu()


def sampled(backbone: Backbone, clip: Clip) -> dict[str, object]:
    """What was sampled when, the size it is scaled to, the visual tokens, and the time stamps as
    they stand in the prompt.

    The processor takes the frames as they are, two to a temporal patch; a patch's time stamp is the
    mean of its two frames' times, taken from the file's own metadata. The same settings hold for
    gallery and query. In the prompt every temporal patch is ``<t seconds>`` and its visual tokens
    between a pair of vision tokens; transformers keeps the chat template's own pair around the
    whole video (since 5.10; before, it was dropped).
    """
    from covrr_utils.backbones.generation import Prompt

    inputs = backbone.inputs([Prompt(clip, "")])
    text = backbone.processor.tokenizer.decode(inputs["input_ids"][0])
    frames, rows, columns = inputs["video_grid_thw"][0].tolist()
    video = backbone.processor.video_processor
    return {
        "frames in the file": clip.metadata.total_num_frames,
        "frames per second": round(clip.metadata.fps, 3),
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
