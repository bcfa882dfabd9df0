"""Constrained decoding: only tokens that keep the text valid may be chosen, so that any backbone writes traces that parse.

The masks come from the library xgrammar. A form is one of

    lines    the five lines ``slot: assertion; assertion`` that the prompts ask for and the mini backbones are trained on
    json     the same as a JSON object, by the pydantic schema `covrr_utils.traces.TraceSchema`

or the text of any JSON schema (it begins with ``{``), as the model judge uses. Both trace forms ask for one to four assertions per slot,
each at most twelve words per side, so that what is written reads back unchanged. A grammar alone allows a text without end: when the
tokens left are just enough to finish, the processor takes the tokens that close an assertion, then those that open the next slot, so that
the text is complete within ``max_new_tokens``. A limit too small for the shortest valid text is an error before anything is generated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import LogitsProcessor

from covrr_utils.traces import MAX_ASSERTIONS, SLOTS, TraceSchema

FORMS = ("lines", "json")
_LETTERS = "[0-9A-Za-z\u00c0-\u024f]"  # Latin letters and digits: what an English assertion is made of
_WORD = f"{_LETTERS}{{1,24}}([-'./&+]{_LETTERS}{{1,24}}){{0,3}}"
_VALUE = f"{_WORD}(,? {_WORD}){{0,11}}"
_ASSERTION = f"{_VALUE}( -> {_VALUE})?"
_EBNF = """
root ::= {lines}
slot ::= assertion ("; " assertion){{0,{more}}}
assertion ::= value (" -> " value)?
value ::= word (","? " " word){{0,11}}
word ::= {letters}{{1,24}} ([-'./&+] {letters}{{1,24}}){{0,3}}
"""
_SHORTEST = {  # the shortest valid text, slot by slot: what must still fit
    "lines": [f"{slot}: a\n" for slot in SLOTS],
    "json": [f'"{slot}": ["a"], ' for slot in SLOTS],
}
_CLOSING = ("\n", '"', "]", "}")  # a token that begins with one of these ends an assertion, a list or an object
_MARGIN = 12  # tokens, for what an arrow, a separator or a letter in pieces still needs, and for the end of the turn


class GrammarError(ValueError):
    """A form that does not exist, or that cannot be kept within the tokens allowed."""


def check_form(form: str) -> str:
    """``form`` itself, when it is known or the text of a JSON schema; else `GrammarError` lists the choices."""
    if form in FORMS:
        return form
    if form.lstrip().startswith("{"):
        try:
            json.loads(form)
        except json.JSONDecodeError as error:
            raise GrammarError(f"the grammar looks like a JSON schema but is not valid JSON ({error})") from error
        return form
    raise GrammarError(f"unknown grammar {form!r}; known: {', '.join(FORMS)}, or the text of a JSON schema")


def ebnf() -> str:
    """The grammar of the line form, in xgrammar's EBNF."""
    lines = ' "\\n" '.join(f'"{slot}: " slot' for slot in SLOTS)
    return _EBNF.format(lines=lines, more=MAX_ASSERTIONS - 1, letters=_LETTERS)


def trace_schema() -> str:
    """The JSON schema of a trace, with the pattern that every assertion must match."""
    schema = TraceSchema.model_json_schema()
    for slot in schema["properties"].values():
        slot["items"] = {"type": "string", "pattern": f"^{_ASSERTION}$"}
    return json.dumps(schema)


@dataclass
class Compiled:
    """A grammar compiled for one tokenizer: what `GrammarProcessor` needs. ``closing`` is a (V,) bool mask of closing and end tokens."""

    form: str
    grammar: object
    tokenizer: object
    closing: torch.Tensor
    end_ids: Sequence[int]


def compile_form(form: str, tokenizer, vocabulary: int, end_ids: Sequence[int]) -> Compiled:
    """Compile ``form`` for a tokenizer; ``vocabulary`` is the width of the model's logits, ``end_ids`` the tokens that end a turn."""
    import xgrammar

    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=list(end_ids))
    compiler = xgrammar.GrammarCompiler(info, max_threads=1)
    if check_form(form) == "lines":
        grammar = compiler.compile_grammar(ebnf())
    else:
        grammar = compiler.compile_json_schema(trace_schema() if form == "json" else form, any_whitespace=False)
    closing = torch.zeros(vocabulary, dtype=torch.bool)
    pieces = [bytes(piece)[:1] for piece in info.decoded_vocab]
    closing[[number for number, piece in enumerate(pieces) if piece in {mark.encode() for mark in _CLOSING}]] = True
    closing[list(end_ids)] = True
    return Compiled(form, grammar, tokenizer, closing, tuple(end_ids))


class GrammarProcessor(LogitsProcessor):
    """Masks the logits of one ``generate`` call. Use a new one for each call: it remembers where every row is in its grammar.

    Parameters
    ----------
    compiled : the grammar
    prompt_tokens : length of the (padded) prompt
    max_new_tokens : how many tokens may be generated
    """

    def __init__(self, compiled: Compiled, prompt_tokens: int, max_new_tokens: int):
        self.compiled, self.prompt_tokens, self.max_new_tokens = compiled, prompt_tokens, max_new_tokens
        self.shortest = _SHORTEST.get(compiled.form)
        if self.shortest and max_new_tokens < (need := len("".join(self.shortest)) + _MARGIN):
            raise GrammarError(f"max_new_tokens is {max_new_tokens}, but a trace as {compiled.form} may need {need} tokens; raise it")
        self.matchers: list = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores (B, V) with minus infinity where a token would break the form of its row."""
        import xgrammar

        if not self.matchers:
            self.matchers = [xgrammar.GrammarMatcher(self.compiled.grammar) for _ in range(len(input_ids))]
            self.bitmask = xgrammar.allocate_token_bitmask(len(input_ids), scores.shape[1])
        else:
            for matcher, token in zip(self.matchers, input_ids[:, -1].tolist(), strict=True):
                if not matcher.is_terminated() and not matcher.accept_token(token):
                    raise RuntimeError(f"token {token} was generated although the grammar {self.compiled.form[:40]!r} does not allow it")
        xgrammar.reset_token_bitmask(self.bitmask)
        for row, matcher in enumerate(self.matchers):
            if not matcher.is_terminated():
                matcher.fill_next_token_bitmask(self.bitmask, row)
        masked = scores.clone()
        xgrammar.apply_token_bitmask_inplace(masked, self.bitmask.to(scores.device))
        for row, matcher in enumerate(self.matchers):
            if self.shortest and not matcher.is_terminated() and self._must_close(input_ids[row, self.prompt_tokens :]):
                closers = self.compiled.closing.to(scores.device) & (masked[row] > float("-inf"))
                if closers.any():
                    masked[row, ~closers] = float("-inf")
        return masked

    def _must_close(self, generated: torch.LongTensor) -> bool:
        """Whether the tokens left are only just enough for the slots that are still to come."""
        left = self.max_new_tokens - len(generated)
        if left >= len("".join(self.shortest)) + _MARGIN:
            return False
        text = self.compiled.tokenizer.decode(generated, skip_special_tokens=True)
        begun = sum(f"{slot}: " in text or f'"{slot}": ' in text for slot in SLOTS)
        return left < len("".join(self.shortest[begun:])) + _MARGIN
