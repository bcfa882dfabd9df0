"""Constrained decoding: only tokens that keep the text valid may be chosen, so that any backbone
writes traces that parse.

The masks come from the library xgrammar. A form is one of

    lines    the five lines ``slot: assertion; assertion`` that the prompts ask for
             and the mini backbones are trained on
    json     the same as a JSON object, by the schema `covrr_utils.traces.trace.TraceSchema`

or the text of any JSON schema (it begins with ``{``), as the model judge uses. Both trace forms ask
for one to four assertions per slot, each at most twelve words per side, so that what is written
reads back unchanged. A grammar alone allows a text without end: when the tokens left are just
enough to finish, the processor takes the tokens that close an assertion, then those that open the
next slot, so that the text is complete within ``max_new_tokens``. A limit too small for the
shortest valid text is an error before anything is generated.
"""

from __future__ import annotations

import json

from covrr_utils.traces.trace import MAX_ASSERTIONS, SLOTS, TraceSchema

FORMS = ("lines", "json")

# Latin letters and digits: what an English assertion is made of
_LETTERS = "[0-9A-Za-z\u00c0-\u024f]"

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

SHORTEST = {  # the shortest valid text, slot by slot: what must still fit
    "lines": [f"{slot}: a\n" for slot in SLOTS],
    "json": [f'"{slot}": ["a"], ' for slot in SLOTS],
}

# a token that begins with one of these ends an assertion, a list or an object
CLOSING = ("\n", '"', "]", "}")

# tokens, for what an arrow, a separator or a letter in pieces still needs, and for the end of the
# turn
MARGIN = 12


class GrammarError(ValueError):
    """A form that does not exist, or that cannot be kept within the tokens allowed."""


def check_form(form: str) -> str:
    """``form`` itself, when it is known or the text of a JSON schema; else `GrammarError` lists the
    choices.
    """
    if form in FORMS:
        return form
    if form.lstrip().startswith("{"):
        try:
            json.loads(form)
        except json.JSONDecodeError as error:
            raise GrammarError(
                f"the grammar looks like a JSON schema but is not valid JSON ({error})"
            ) from error
        return form
    raise GrammarError(
        f"unknown grammar {form!r}; known: {', '.join(FORMS)}, or the text of a JSON schema"
    )


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
