"""What all prompts about a clip share is computed once: everything up to the end of the video.

Describing a video after an edit asks about the same clip two to seven times: the trace, its
samples, the retry under a grammar, the description. A `Prefix` keeps the keys and values that the
decoder computed for the shared part of a batch; whatever is asked about these clips goes on from
there, also when another strategy asks later. Positions are computed from the whole prefix and
handed on with it, so that the model's own memory of positions (``rope_deltas``, which is that of
the last call) is never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from transformers.cache_utils import Cache, DynamicLayer

from covrr_utils.backbones.chat import Chat, Layout
from covrr_utils.backbones.sight import SightMemory, Sights
from covrr_utils.video.clips import Clip

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

# prefixes are kept up to this size in all, for each lane; the newest one always is. Those of the
# mini benchmark's references fit: every strategy asks about the same clips
KEPT_BYTES = 320 << 20

RESERVE = 256  # places for new tokens that a cache has from the start; more are made when needed


class Growing(DynamicLayer):
    """Keys and values of one block in memory that is larger than what it holds, so that a new token
    is written into its place instead of copying all that came before.
    """

    def __init__(self, room: int = RESERVE, **options: Any):
        super().__init__(**options)
        self.room = room
        self._memory: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (B, H, S, D) keys and values; returns all of them, (B, H, T + S, D)."""
        held = self.get_seq_length()
        end = held + key_states.shape[-2]
        if self._memory is None or end > self._memory[0].shape[-2]:
            places = end + max(self.room, end // 4)
            self._memory = (
                self._larger(key_states, 0, places),
                self._larger(value_states, 1, places),
            )
        for memory, new in zip(self._memory, (key_states, value_states)):
            memory[:, :, held:end] = new
        self._show(end)
        keys, values = (memory[:, :, :end] for memory in self._memory)
        return keys, values

    def branch(self, room: int) -> Growing:
        """A layer that goes on from here in the same memory, which gets room for so many tokens
        first; what it appends is not seen here.
        """
        held = self.get_seq_length()
        if self._memory is not None and held + room > self._memory[0].shape[-2]:
            places = held + room
            keys = self._larger(self._memory[0], 0, places)
            self._memory = (keys, self._larger(self._memory[1], 1, places))
            self._show(held)
        other = Growing(self.room)
        other._memory = self._memory
        other._show(held)
        return other

    def rows(self, rows: Int[torch.Tensor, " rows"], room: int) -> Growing:
        """A layer of these rows, in memory of its own with room for so many tokens."""
        other, held = Growing(self.room), self.get_seq_length()
        assert self._memory is not None
        memory = []
        for layer in self._memory:
            shape = (len(rows), layer.shape[1], held + room, layer.shape[3])
            larger = layer.new_empty(shape)
            larger[:, :, :held] = layer[rows.to(layer.device), :, :held]
            memory.append(larger)
        other._memory = (memory[0], memory[1])
        other._show(held)
        return other

    def trim(self) -> None:
        """Give back the memory beyond what is held."""
        if self._memory is not None and self._memory[0].shape[-2] > self.get_seq_length():
            assert self.keys is not None and self.values is not None
            self._memory = (self.keys.clone(), self.values.clone())
            self._show(self.get_seq_length())

    @property
    def nbytes(self) -> int:
        """Bytes of its memory."""
        return sum(memory.nbytes for memory in self._memory or ())

    def _larger(self, like: torch.Tensor, part: int, places: int) -> torch.Tensor:
        """Memory with so many places that begins with what is held."""
        larger = like.new_empty((*like.shape[:2], places, like.shape[3]))
        if self._memory is not None and (held := self.get_seq_length()):
            larger[:, :, :held] = self._memory[part][:, :, :held]
        return larger

    def _show(self, length: int) -> None:
        """The first ``length`` places are what is held."""
        assert self._memory is not None
        self.keys, self.values = (memory[:, :, :length] for memory in self._memory)
        self.is_initialized = True
        self.dtype, self.device = self.keys.dtype, self.keys.device


@dataclass
class Prefix:
    """The shared part of B clips, as the decoder has seen it.

    Attributes
    ----------
    keys : what each row is the prefix of, by content
    layers : one `Growing` per decoder block
    mask : 1 where a row has a token, 0 where it is padded on the left
    next_position : the position of the first token that follows
    vision : the mean of each video's visual tokens, float32 on the CPU
    """

    keys: list[str]
    layers: list[Growing]
    mask: Int[torch.Tensor, "batch length"]
    next_position: Int[torch.Tensor, " batch"]
    vision: Float[torch.Tensor, "batch width"]

    def nbytes(self) -> int:
        """Bytes of its keys and values."""
        return sum(layer.nbytes for layer in self.layers)


@dataclass
class Opened:
    """A prefix for the rows of one batch of prompts, ready to be gone on from."""

    cache: Cache
    mask: Int[torch.Tensor, "batch length"]
    next_position: Int[torch.Tensor, " batch"]
    vision: Float[torch.Tensor, "batch width"]


def cache_argument(model: Qwen3VLForConditionalGeneration) -> str:
    """What the decoder calls its cache: transformers 5.24 renames the argument."""
    names = signature(type(model.model.language_model).forward).parameters
    return "cache" if "cache" in names else "past_key_values"


class Prefixes:
    """The prefixes of the last batches of one model, within `KEPT_BYTES`: those in ``kept``, if
    that is given, and new ones.
    """

    def __init__(
        self,
        model: Qwen3VLForConditionalGeneration,
        layout: Layout,
        seen: SightMemory | None = None,
        kept: list[Prefix] | None = None,
    ):
        self.model, self.layout = model, layout
        self.sights = Sights(model, layout, seen)
        self.computed = 0  # rows forwarded so far
        self._kept: list[Prefix] = [] if kept is None else kept
        self.argument = cache_argument(model)

    def open(self, clips: Sequence[Clip], chats: Sequence[Chat], room: int) -> Opened:
        """The prefix of every row, computed for the clips that are new, with room for so many more
        tokens a row; those that are not asked about now give back the room they had.
        """
        keys = [self.sights.key(clip, chat.before) for clip, chat in zip(clips, chats)]
        prefix = next((kept for kept in self._kept if set(keys) <= set(kept.keys)), None)
        if prefix is None:
            first = {key: row for row, key in reversed(list(enumerate(keys)))}
            rows = sorted(first.values())
            self._make_room(len(rows))
            prefix = self._computed(
                [keys[row] for row in rows],
                [clips[row] for row in rows],
                [chats[row].before for row in rows],
                room,
            )
        else:
            self._kept.remove(prefix)
        for other in self._kept:
            for layer in other.layers:
                layer.trim()
        self._kept.append(prefix)
        places = [prefix.keys.index(key) for key in keys]
        if places == list(range(len(prefix.keys))):
            layers = [layer.branch(room) for layer in prefix.layers]
            return Opened(Cache(layers=[*layers]), prefix.mask, prefix.next_position, prefix.vision)
        chosen = torch.tensor(places)
        there = chosen.to(prefix.mask.device)
        return Opened(
            Cache(layers=[layer.rows(chosen, room) for layer in prefix.layers]),
            prefix.mask[there],
            prefix.next_position[there],
            prefix.vision[chosen],
        )

    def clear(self) -> None:
        """Forget all prefixes and all that was seen, and give their memory back."""
        self._kept.clear()
        self.sights.clear()

    def _make_room(self, rows: int) -> None:
        """Forget the oldest prefixes until one more of the newest's size a row fits."""
        expected = self._kept[-1].nbytes() // len(self._kept[-1].keys) * rows if self._kept else 0
        while self._kept and sum(kept.nbytes() for kept in self._kept) + expected > KEPT_BYTES:
            del self._kept[0]

    def _computed(
        self, keys: list[str], clips: list[Clip], befores: Sequence[str], room: int
    ) -> Prefix:
        """Forward the prefixes of these clips, padded on the left."""
        sights = self.sights.of(clips, befores, keys)
        ids, mask = self.layout.padded([sight.ids for sight in sights])
        types = torch.tensor(self.layout.processor.create_mm_token_type_ids(ids.tolist()))
        grid = torch.stack([sight.grid for sight in sights])
        positions, following = self._positions(ids, mask, types, grid)
        layers = [Growing(room) for _ in self.model.model.language_model.layers]
        device = self.model.device
        self.model.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            mm_token_type_ids=types.to(device),
            video_grid_thw=grid.to(device),
            mm_encoder_outputs={"video": self.sights.outputs(sights)},
            use_cache=True,
            **{self.argument: Cache(layers=list(layers))},
        )
        self.computed += len(clips)
        return Prefix(
            keys,
            layers,
            mask.to(device),
            following.to(device),
            torch.stack([sight.vision for sight in sights]),
        )

    def _positions(
        self,
        ids: Int[torch.Tensor, "batch length"],
        mask: Int[torch.Tensor, "batch length"],
        types: Int[torch.Tensor, "batch length"],
        grid: Int[torch.Tensor, "batch 3"],
    ) -> tuple[Int[torch.Tensor, "3 batch length"], Int[torch.Tensor, " batch"]]:
        """The positions of all tokens and of the first that follows each row; rows laid out alike
        are computed once.
        """
        layouts = torch.cat([mask, types, grid], 1)
        alike, places = torch.unique(layouts, dim=0, return_inverse=True)
        first = [int((places == number).nonzero()[0]) for number in range(len(alike))]
        positions, deltas = self.model.model.get_rope_index(
            input_ids=ids[first],
            mm_token_type_ids=types[first],
            video_grid_thw=grid[first],
            attention_mask=mask[first],
        )
        return positions[:, places], mask.sum(1) + deltas[places, 0]
