"""A grammar at work: which tokens may come next, from the library xgrammar, as a logits processor
of transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from transformers import LogitsProcessor

from covrr_utils.backbones.grammar import (
    CLOSING,
    MARGIN,
    SHORTEST,
    GrammarError,
    check_form,
    ebnf,
    trace_schema,
)
from covrr_utils.traces.trace import SLOTS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from xgrammar import CompiledGrammar, GrammarMatcher


@dataclass
class Compiled:
    """A grammar compiled for one tokenizer: what `GrammarProcessor` needs.

    ``closing`` is true for closing and end tokens.
    """

    form: str
    grammar: CompiledGrammar
    tokenizer: PreTrainedTokenizerBase
    closing: Bool[torch.Tensor, " vocabulary"]
    end_ids: Sequence[int]

    @property
    def shortest(self) -> list[str]:
        """The shortest valid text, slot by slot; empty for forms that are no traces."""
        return SHORTEST.get(self.form, [])


def compile_form(
    form: str, tokenizer: PreTrainedTokenizerBase, vocabulary: int, end_ids: Sequence[int]
) -> Compiled:
    """Compile ``form`` for a tokenizer; ``vocabulary`` is the width of the model's logits,
    ``end_ids`` the tokens that end a turn.
    """
    import xgrammar

    info = xgrammar.TokenizerInfo.from_huggingface(
        tokenizer, vocab_size=vocabulary, stop_token_ids=list(end_ids)
    )
    compiler = xgrammar.GrammarCompiler(info, max_threads=1)
    if check_form(form) == "lines":
        grammar = compiler.compile_grammar(ebnf())
    else:
        grammar = compiler.compile_json_schema(
            trace_schema() if form == "json" else form, any_whitespace=False
        )
    closing = torch.zeros(vocabulary, dtype=torch.bool)
    pieces = [bytes(piece)[:1] for piece in info.decoded_vocab]
    closing[
        [
            number
            for number, piece in enumerate(pieces)
            if piece in {mark.encode() for mark in CLOSING}
        ]
    ] = True
    closing[list(end_ids)] = True
    return Compiled(form, grammar, tokenizer, closing, tuple(end_ids))


class GrammarProcessor(LogitsProcessor):
    """Masks the logits of one ``generate`` call. Use a new one for each call: it remembers where
    every row is in its grammar.

    Parameters
    ----------
    compiled : the grammar
    prompt_tokens : length of the (padded) prompt
    max_new_tokens : how many tokens may be generated
    """

    def __init__(self, compiled: Compiled, prompt_tokens: int, max_new_tokens: int):
        self.compiled, self.prompt_tokens, self.max_new_tokens = (
            compiled,
            prompt_tokens,
            max_new_tokens,
        )
        self.shortest = compiled.shortest
        if self.shortest and max_new_tokens < (need := len("".join(self.shortest)) + MARGIN):
            raise GrammarError(
                f"max_new_tokens is {max_new_tokens}, but a trace as {compiled.form} may need"
                f" {need} tokens; raise it"
            )
        self.matchers: list[GrammarMatcher] = []

    def __call__(
        self,
        input_ids: Int[torch.Tensor, "batch tokens"],
        scores: Float[torch.Tensor, "batch vocabulary"],
    ) -> Float[torch.Tensor, "batch vocabulary"]:
        """Scores with minus infinity where a token would break the form of its row."""
        import xgrammar

        if not self.matchers:
            self.matchers = [
                xgrammar.GrammarMatcher(self.compiled.grammar) for _ in range(len(input_ids))
            ]
            self.bitmask = xgrammar.allocate_token_bitmask(len(input_ids), scores.shape[1])
        else:
            for matcher, token in zip(self.matchers, input_ids[:, -1].tolist(), strict=True):
                if not matcher.is_terminated() and not matcher.accept_token(token):
                    raise RuntimeError(
                        f"token {token} was generated although the grammar"
                        f" {self.compiled.form[:40]!r} does not allow it"
                    )
        xgrammar.reset_token_bitmask(self.bitmask)
        for row, matcher in enumerate(self.matchers):
            if not matcher.is_terminated():
                matcher.fill_next_token_bitmask(self.bitmask, row)
        masked = scores.clone()
        xgrammar.apply_token_bitmask_inplace(masked, self.bitmask.to(scores.device))
        for row, matcher in enumerate(self.matchers):
            if (
                self.shortest
                and not matcher.is_terminated()
                and self._must_close(input_ids[row, self.prompt_tokens :])
            ):
                closers = self.compiled.closing.to(scores.device) & (masked[row] > float("-inf"))
                if closers.any():
                    masked[row, ~closers] = float("-inf")
        return masked

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows are left in the batch."""
        self.matchers = [self.matchers[row] for row in rows]
        self.bitmask = self.bitmask[list(rows)].contiguous()

    def _must_close(self, generated: Int[torch.Tensor, " tokens"]) -> bool:
        """Whether the tokens left are only just enough for the slots that are still to come."""
        left = self.max_new_tokens - len(generated)
        if left >= len("".join(self.shortest)) + MARGIN:
            return False
        text = self.compiled.tokenizer.decode(generated, skip_special_tokens=True)
        begun = sum(f"{slot}: " in text or f'"{slot}": ' in text for slot in SLOTS)
        return left < len("".join(self.shortest[begun:])) + MARGIN
