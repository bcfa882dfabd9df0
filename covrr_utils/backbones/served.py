"""A backbone whose texts a server writes: the server is asked many prompts at once, and the states
behind every token come from one pass of our own model over the prompt and the text
(`covrr_utils.backbones.forcing`).

The prompts are those of the backbone itself: one user turn with the video, then the question. The
video is the file, so that the server takes frames from it by the same rule.
"""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from covrr_utils.backbones.addresses import EndpointError
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.completions import Answer, AnswerError
from covrr_utils.backbones.description import Description, NotAnswered
from covrr_utils.backbones.endpoint import Endpoint, Question
from covrr_utils.backbones.forcing import force
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.grammar import GrammarError, ebnf, trace_schema
from covrr_utils.video.clips import ClipError

DATA, PATH = "data", "path"

VLLM, SGLANG = "vllm", "sglang"  # as these servers call themselves in their lists of models

KEPT_ANSWERS = 4096  # of the last prompts: a batch may be asked again in halves

CLOSED = "</think>"


@dataclass
class Served:
    """Writes through a server, reads with ``encoder``.

    Parameters
    ----------
    encoder : the same backbone in this process
    endpoint : the server; every answer has to name its ``model``
    path_of : a video's file; raises `ClipError` where there is none
    owner : what serves, as the server says
    in_flight : prompts that are asked at once
    videos : ``data`` sends files within the prompts; ``path`` their paths, which the server must be
        able to read
    states : whether descriptions keep token states. Without, they are texts and tokens alone:
        ``states`` is (T, 0) and ``logprobs`` are not known (NaN)
    request : what else every request says
    """

    encoder: Backbone
    endpoint: Endpoint
    path_of: Callable[[str], Path]
    owner: str
    in_flight: int
    videos: str = DATA
    states: bool = True
    request: Mapping[str, Any] = field(default_factory=dict)
    generated_tokens: int = 0

    def __post_init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, Generation], Answer | AnswerError] = OrderedDict()

    def write(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
    ) -> list[str]:
        """One text per prompt, in order.

        Raises
        ------
        NotAnswered
            If one of the prompts has no usable answer. Asking again without it does not ask the
            others again.
        EndpointError
            If the server cannot be reached, refuses the key, or serves another model.
        GrammarError
            If the server knows no such grammar.
        """
        answers = self._answers(prompts, generation or Generation())
        self.generated_tokens += sum(len(self._ids(answer)) for answer in answers)
        return [self._spoken(answer)[1].strip() for answer in answers]

    def sample(
        self, prompts: Sequence[Prompt], generations: Sequence[Generation], desc: str | None = None
    ) -> list[list[str]]:
        """For each of these ways of generating, one text per prompt, in order; errors are those of
        `write`.
        """
        return [self.write(prompts, generation, desc) for generation in generations]

    def describe(
        self,
        prompts: Sequence[Prompt],
        generation: Generation | None = None,
        desc: str | None = None,
        layers: Sequence[float] = (),
    ) -> list[Description]:
        """One `Description` per prompt, in order; errors are those of `write` and of
        `Backbone.describe`.
        """
        answers = self._answers(prompts, generation or Generation())
        ids = [self._ids(answer) for answer in answers]
        if empty := [prompt for prompt, row in zip(prompts, ids) if not row]:
            raise NotAnswered(f"{self.endpoint.shown}: an empty text for {empty[0].clip.id!r}")
        self.generated_tokens += sum(map(len, ids))
        if self.states:
            return force(self.encoder, prompts, ids, layers)
        return [self._text_alone(prompt, row) for prompt, row in zip(prompts, ids)]

    def _answers(self, prompts: Sequence[Prompt], generation: Generation) -> list[Answer]:
        """What the server answers to each prompt, asked once."""
        keys = [(prompt.clip.id, prompt.text, generation) for prompt in prompts]
        new = {key: prompt for key, prompt in zip(keys, prompts) if key not in self._known}
        questions = [self._question(prompt, generation) for prompt in new.values()]
        if questions:
            self._known |= dict(
                zip(new, self.endpoint.answers(questions, self.in_flight), strict=True)
            )
        answers: list[Answer] = []
        for key in keys:
            answer = self._known[key]
            if isinstance(answer, AnswerError):
                raise NotAnswered(str(answer))
            if answer.model not in (None, self.endpoint.model):
                raise EndpointError(
                    f"{self.endpoint.shown} was asked for {self.endpoint.model!r}, and its answer"
                    f" names {answer.model!r}; nothing of it is kept"
                )
            answers.append(answer)
        while len(self._known) > max(KEPT_ANSWERS, 4 * len(prompts)):
            self._known.popitem(last=False)
        return answers

    def _question(self, prompt: Prompt, generation: Generation) -> Question:
        """What is sent: the prompt, and all that decides how it is answered."""
        text, marks = self.encoder.layout.marked(prompt.text)
        constraint = self._constraint(generation.grammar)

        def question() -> Mapping[str, Any]:
            if marks:
                token = next(iter(marks.values()))
                raise AnswerError(
                    f"the prompt holds {token}, which the server would read as a control token"
                )
            try:
                video = self._video(self.path_of(prompt.clip.id))
            except (ClipError, OSError) as error:
                raise AnswerError(f"the video cannot be sent: {error}") from error
            content = [
                {"type": "video_url", "video_url": {"url": video}},
                {"type": "text", "text": text},
            ]
            extra = {**self.request, **sampled(generation)["extra_body"], **constraint}
            request = {
                "messages": [{"role": "user", "content": content}],
                **sampled(generation),
                "extra_body": extra,
            }
            if generation.do_sample:
                request["seed"] = _seed(prompt, generation)
            return request

        return question

    def _video(self, path: Path) -> str:
        """The address of a video: its path, or its whole content."""
        if self.videos == PATH:
            return path.resolve().as_uri()
        kind = mimetypes.guess_type(path.name)[0] or "video/mp4"
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

    def _constraint(self, grammar: str | None) -> dict[str, Any]:
        """How this server is told to keep to a grammar.

        Raises
        ------
        GrammarError
            If it cannot be.
        """
        if grammar is None:
            return {}
        if grammar != "lines":
            schema = json.loads(trace_schema() if grammar == "json" else grammar)
            named = {"name": "answer", "strict": True, "schema": schema}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
        if self.owner == VLLM:
            return {"structured_outputs": {"grammar": ebnf()}}
        if self.owner == SGLANG:
            return {"ebnf": ebnf()}
        raise GrammarError(
            f"{self.endpoint.shown} calls itself {self.owner!r}, and only vLLM and SGLang take the"
            " grammar 'lines'; give --grammar json, which is asked for as a JSON schema"
        )

    def _spoken(self, answer: Answer) -> tuple[str | None, str]:
        """The thought of an answer up to its end, and what is said after it. The thought is None
        where the backbone does not think, or had not ended to.
        """
        if not self.encoder.thinks:
            return None, answer.text
        if answer.thought:
            closed = answer.ended or bool(answer.text)
            spoken = "\n\n" + answer.text.lstrip("\n")
            return (answer.thought.strip("\n") + "\n", spoken) if closed else (None, "")
        thought, closed_by, spoken = answer.text.partition(CLOSED)
        return (thought, spoken) if closed_by else (None, "")

    def _ids(self, answer: Answer) -> list[int]:
        """The tokens of an answer as the encoder's tokenizer writes them; the end of the turn is
        the last, where the model ended it.
        """
        layout, tokenizer = self.encoder.layout, self.encoder.processor.tokenizer
        thought, spoken = self._spoken(answer)
        ids: list[int] = []
        if thought is not None:
            ids = [*layout.answer_ids(thought)[:-1], tokenizer.convert_tokens_to_ids(CLOSED)]
        elif self.encoder.thinks:
            spoken = answer.thought or answer.text
        *said, end = layout.answer_ids(spoken)
        return [*ids, *said, end] if answer.ended else [*ids, *said]

    def _text_alone(self, prompt: Prompt, ids: Sequence[int]) -> Description:
        """A description without token states."""
        description = self.encoder.generator.cut(
            torch.tensor(list(ids)),
            torch.zeros(len(ids), 0),
            torch.full((len(ids),), float("nan")),
            prompt.clip.id,
            None,
            torch.zeros(0),
        )
        return replace(description, vision=None)


def sampled(generation: Generation) -> dict[str, Any]:
    """How a server is told to choose tokens. All that decides it is said, for a server takes what
    is not from the checkpoint's habits.
    """
    greedy = not generation.do_sample
    return {
        "max_completion_tokens": generation.max_new_tokens,
        "temperature": 0.0 if greedy else generation.temperature,
        "top_p": 1.0 if greedy else generation.top_p,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "extra_body": {
            "top_k": -1 if greedy or not generation.top_k else generation.top_k,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
        },
    }


def _seed(prompt: Prompt, generation: Generation) -> int:
    """The seed of one sampled answer, by the decoding's seed, the clip and the text alone: what is
    drawn depends on no other prompt in flight.
    """
    content = json.dumps([generation.seed, prompt.clip.id, prompt.text])
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big") >> 1
