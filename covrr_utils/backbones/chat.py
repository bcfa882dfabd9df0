"""A prompt becomes tokens: the checkpoint's own chat template and processor, and text that stays
text.

A conversation has three parts: what stands before the video, the video with its time stamps, and
what follows it, the question among it. The first two are the same for everything that is asked
about a clip.

Text from labels and models is never read as control tokens: ``<|im_end|>`` in an edit becomes the
tokens of these ten letters and signs. Before the template is rendered, every control token in the
text is replaced by a private-use character that the text does not hold; afterwards the pieces
between the template's own control tokens are encoded by themselves, with the text put back, by a
tokenizer that knows no control tokens. Where a text holds none, the tokens are those of the plain
way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from covrr_utils.backbones.generation import Prompt
from covrr_utils.video.clips import Clip

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding, Tokenizer
    from transformers import BatchFeature, Qwen3VLProcessor

# the planes 15 and 16 of Unicode: characters that mean nothing by themselves
PRIVATE_USE = (0xF0000, 0x10FFFD)


@dataclass(frozen=True)
class Chat:
    """A rendered conversation around one video: what stands before it and what follows.

    ``marks``: private-use character -> the control token that the user's text holds there.
    """

    before: str
    after: str
    marks: Mapping[str, str]


@dataclass(frozen=True)
class Reading:
    """The tokens of a conversation without a video, and which of them are those of the text.

    ids : the T tokens of the conversation
    places : positions, among the T, of the tokens that hold a part of the text
    """

    ids: list[int]
    places: list[int]


class Layout:
    """How one checkpoint lays out conversations."""

    def __init__(self, processor: Qwen3VLProcessor):
        self.processor = processor

    def opening(self) -> str:
        """An empty question, rendered to where the answer begins."""
        return self.processor.apply_chat_template(
            [{"role": "user", "content": ""}], tokenize=False, add_generation_prompt=True
        )

    def chat(self, text: str) -> Chat:
        """The conversation that asks ``text`` about a video, in the checkpoint's own template."""
        text, marks = self.marked(text)
        content = [{"type": "video"}, {"type": "text", "text": text}]
        rendered = self._rendered(content, add_generation_prompt=True)
        before, _, after = rendered.partition(self.processor.video_token)
        return Chat(before, after, marks)

    def video_inputs(self, befores: Sequence[str], clips: Sequence[Clip]) -> BatchFeature:
        """The processor's tensors for what stands before each video and the video itself, padded on
        the left.

        Frames and their metadata are passed as they were sampled.
        """
        pairs = [clip.paired() for clip in clips]
        return self.processor(
            text=[before + self.processor.video_token for before in befores],
            videos=[clip.frames for clip in pairs],
            video_metadata=[clip.metadata for clip in pairs],
            do_sample_frames=False,
            padding=True,
            return_tensors="pt",
        )

    def question_ids(self, chat: Chat) -> list[int]:
        """The tokens of what follows the video."""
        return [id_ for ids, _ in self._encoded(chat.after, chat.marks) for id_ in ids]

    def answer_ids(self, text: str) -> list[int]:
        """The tokens of ``text`` as the model's answer, the end of its turn the last."""
        marked, marks = self.marked(text)
        ids = [id_ for piece, _ in self._encoded(marked, marks) for id_ in piece]
        return [*ids, self.processor.tokenizer.eos_token_id]

    def inputs(self, prompts: Sequence[Prompt]) -> BatchFeature:
        """Model inputs for a batch of prompts, padded on the left: the tensors that the processor
        makes of the whole conversation, where no text holds a control token.
        """
        import torch

        chats = [self.chat(prompt.text) for prompt in prompts]
        tensors = self.video_inputs(
            [chat.before for chat in chats], [prompt.clip for prompt in prompts]
        )
        questions, mask = self.padded([self.question_ids(chat) for chat in chats])
        rows = [
            torch.cat([ids[seen], row[question_mask]])
            for ids, seen, row, question_mask in zip(
                tensors["input_ids"], tensors["attention_mask"].bool(), questions, mask.bool()
            )
        ]
        tensors["input_ids"], tensors["attention_mask"] = self.padded(
            [row.tolist() for row in rows]
        )
        tensors["mm_token_type_ids"] = torch.tensor(
            self.processor.create_mm_token_type_ids(tensors["input_ids"].tolist())
        )
        return tensors

    def reading(self, text: str) -> Reading:
        """The conversation in which ``text`` stands by itself, without a video or an answer."""
        marked, marks = self.marked(text)
        chat = self._rendered([{"type": "text", "text": marked}], add_generation_prompt=False)
        begin = chat.rindex(marked)
        end = begin + len(marked)
        ids: list[int] = []
        places: list[int] = []
        for piece_ids, spans in self._encoded(chat, marks):
            places += [
                len(ids) + number
                for number, (start, stop) in enumerate(spans)
                if start < end and stop > begin
            ]
            ids += piece_ids
        return Reading(ids, places)

    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of tokens of different lengths as (B, S) int64, padded on the left, and their (B, S)
        mask: 1 for tokens, 0 for padding.
        """
        import torch

        longest = max(map(len, rows))
        pad = self.processor.tokenizer.pad_token_id
        ids = [[pad] * (longest - len(row)) + list(row) for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids), torch.tensor(mask)

    def _rendered(self, content: list[dict[str, str]], add_generation_prompt: bool) -> str:
        """One user turn in the checkpoint's template."""
        turn: list[dict] = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(
            turn, tokenize=False, add_generation_prompt=add_generation_prompt
        )

    @cached_property
    def _controls(self) -> dict[str, int]:
        """The tokens that no text is ever read as, special or not, with their ids."""
        added = self.processor.tokenizer.added_tokens_decoder
        return {str(token.content): int(id_) for id_, token in added.items()}

    @cached_property
    def _control(self) -> re.Pattern[str]:
        """Finds control tokens in a text, the longest one at each place."""
        longest_first = sorted(self._controls, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    @cached_property
    def _plain(self) -> Tokenizer:
        """The tokenizer as it would be without control tokens."""
        from tokenizers import Tokenizer

        settings = json.loads(self.processor.tokenizer.backend_tokenizer.to_str())
        return Tokenizer.from_str(json.dumps(settings | {"added_tokens": []}))

    def marked(self, text: str) -> tuple[str, dict[str, str]]:
        """The text with a private-use character in the place of every control token, and what each
        of these characters stands for. What no encoding can write (half a character) becomes a
        question mark.
        """
        text = text.encode("utf-8", "replace").decode("utf-8")
        held = list(dict.fromkeys(self._control.findall(text)))
        if not held:
            return text, {}
        free = (chr(code) for code in range(*PRIVATE_USE) if chr(code) not in text)
        marks = dict(zip(held, free))
        return self._control.sub(lambda match: marks[match[0]], text), {
            mark: token for token, mark in marks.items()
        }

    def _encoded(
        self, chat: str, marks: Mapping[str, str]
    ) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """The tokens of a rendered conversation, piece by piece, with the places in ``chat`` where
        each begins and ends.
        """
        pieces: list[tuple[list[int], list[tuple[int, int]]]] = []
        at = 0
        for match in self._control.finditer(chat):
            pieces.append(self._encoded_text(chat[at : match.start()], at, marks))
            pieces.append(([self._controls[match[0]]], [match.span()]))
            at = match.end()
        pieces.append(self._encoded_text(chat[at:], at, marks))
        return pieces

    def _encoded_text(
        self, piece: str, at: int, marks: Mapping[str, str]
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """The tokens of a piece between control tokens that begins at ``at``, and their places."""
        if not any(mark in piece for mark in marks):
            encoding: Encoding = self.processor.tokenizer.backend_tokenizer.encode(
                piece, add_special_tokens=False
            )
            return encoding.ids, [(at + start, at + stop) for start, stop in encoding.offsets]
        text, origin = [], []  # the piece with the text put back, and where each character was
        for place, character in enumerate(piece):
            token = marks.get(character, character)
            text.append(token)
            origin += [at + place] * len(token)
        encoding = self._plain.encode("".join(text), add_special_tokens=False)
        if held := set(encoding.ids) & set(self._controls.values()):
            names = [token for token, id_ in self._controls.items() if id_ in held]
            raise ValueError(
                f"the tokenizer writes {names[0]!r} for plain text, so a text that holds it cannot"
                " be told from the token; take it out of the text"
            )
        spans = [(origin[start], origin[stop - 1] + 1) for start, stop in encoding.offsets]
        return encoding.ids, spans
