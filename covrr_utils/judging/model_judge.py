"""A model as the judge: a backbone, or any OpenAI-compatible endpoint, with the rubric of
`covrr_utils.judging.rubric`.

Answers are JSON by construction where the server or the backbone can constrain its output, they are
seeded, and each is kept on disk under everything that decides it, so that a score can be made again
without asking. The mini backbones never learned to judge: their answers have the right form and no
meaning. The embedded judge ``mini-judge`` did, for the mini world (`covrr_utils.mini.judgements`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from tqdm import tqdm

from covrr_utils import paths
from covrr_utils.backbones.addresses import shown_address
from covrr_utils.backbones.backbone import Backbone
from covrr_utils.backbones.completions import AnswerError
from covrr_utils.backbones.endpoint import Endpoint
from covrr_utils.backbones.generation import Generation, Prompt
from covrr_utils.backbones.registry import embedded_checkpoints
from covrr_utils.benchmarks.naming import distinct
from covrr_utils.files import digest, read_or_set_aside, write_atomically
from covrr_utils.judging.judges import Case, Verdict
from covrr_utils.judging.rubric import RUBRIC_VERSION, Rubric, rubric_prompt, rubric_schema
from covrr_utils.video.clips import Clip, ClipError

KEY_VARIABLE = "COVRR_JUDGE_KEY"

ANSWER_TOKENS = 512


class ModelJudge:
    """Ten dimensions by a model; the score is their mean.

    Parameters
    ----------
    identity : names the model in every score
    ask : cases -> one answer each: its text, or an exception that says why there is none
    decides : everything besides the prompt that decides an answer (weights, seed, ...): part of the
        cache key
    batch : how many cases are asked at once; finished batches are kept when a later one fails
    folder : the cache; default ``runs/store/judgements``
    place : what tells the judge from others of that identity, such as where it is served; it
        follows the identity in the judge's name, and so in the name of every score's file
    """

    reads = "trace"
    version = RUBRIC_VERSION

    def __init__(
        self,
        identity: str,
        ask: Callable[[Sequence[Case]], list[str | Exception]],
        decides: dict[str, Any],
        batch: int = 16,
        folder: Path | None = None,
        place: str = "",
    ):
        self._asked_as = f"model:{identity}"  # ``decides`` has the place, where it matters
        self.name = f"{self._asked_as} at {place}" if place else self._asked_as
        self.ask, self.decides, self.batch = ask, decides, batch
        self.folder = folder or paths.runs_dir() / "store" / "judgements"

    def verdicts(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict per case; an answer that is no rubric, or none at all, is a verdict without a
        score.
        """
        files = {case.id: self.folder / f"{self._key(case)}.json" for case in cases}
        verdicts = {}
        for case in cases:
            kept = read_or_set_aside(files[case.id], partial(_kept_verdict, case.id))
            if kept is not None:
                verdicts[case.id] = kept
        missing = [case for case in cases if case.id not in verdicts]
        for start in tqdm(
            range(0, len(missing), self.batch), desc=self.name, disable=not missing, mininterval=1
        ):
            batch = missing[start : start + self.batch]
            for case, answer in zip(batch, self.ask(batch), strict=True):
                if isinstance(answer, Exception):
                    verdicts[case.id] = Verdict(case.id, None, cause=f"judge: {_why(answer)}")
                    continue
                verdicts[case.id] = _verdict(case.id, answer)
                if verdicts[case.id].score is not None:
                    write_atomically(files[case.id], answer.encode())
        return [verdicts[case.id] for case in cases]

    def _key(self, case: Case) -> str:
        return digest(
            {
                "version": RUBRIC_VERSION,
                "judge": self._asked_as,
                "prompt": prompt_of(case),
                "reference": case.reference,
                **self.decides,
            }
        )


def _why(error: Exception) -> str:
    """Why there is no answer, as the cause of a verdict without a score."""
    if isinstance(error, ClipError):
        return f"reference video {error.cause}"
    return str(error) or type(error).__name__


def prompt_of(case: Case) -> str:
    """The rubric's prompt for one case."""
    return rubric_prompt(case.edit, case.judged_trace().text(), case.before, case.after)


def _kept_verdict(id_: str, blob: bytes) -> Verdict:
    """The verdict in an answer that was kept; only answers with a score are, so that one without
    was damaged since.
    """
    verdict = _verdict(id_, blob.decode())
    if verdict.score is None:
        raise ValueError("no answer to the rubric")
    return verdict


def _verdict(id_: str, answer: str) -> Verdict:
    """The verdict in an answer, also where prose stands around the object."""
    try:
        scores = Rubric.model_validate_json(
            answer[answer.find("{") : answer.rfind("}") + 1]
        ).model_dump()
    except ValidationError:
        return Verdict(id_, None, cause="judge: unusable answer")
    return Verdict(
        id_,
        sum(scores.values()) / len(scores),
        {name: float(value) for name, value in scores.items()},
    )


def backbone_judge(
    backbone: Backbone, clip_of: Callable[[str], Clip], seed: int = 0, folder: Path | None = None
) -> ModelJudge:
    """A backbone as the judge: it sees the reference video (``clip_of``: video id -> clip) and
    answers under the rubric's grammar, greedily.
    """
    generation = Generation(max_new_tokens=ANSWER_TOKENS, seed=seed, grammar=rubric_schema())

    def ask(cases: Sequence[Case]) -> list[str | Exception]:
        answers: dict[str, str | Exception] = {}
        prompts = {}
        for case in cases:
            try:
                prompts[case.id] = Prompt(clip_of(case.reference or ""), prompt_of(case))
            except ClipError as error:
                answers[case.id] = error
        answers |= dict(
            zip(prompts, backbone.write(list(prompts.values()), generation), strict=True)
        )
        return [answers[case.id] for case in cases]

    decides = {
        "weights": backbone.weights_hash,
        "dtype": str(backbone.model.dtype),
        "sampling": backbone.sampling.to_dict(),
        **generation.to_dict(),
        **backbone.differences,
    }
    place = "" if _embedded(backbone) else backbone.weights_hash[:6]
    return ModelJudge(backbone.name, ask, decides, backbone.batch_size, folder, place)


def _embedded(backbone: Backbone) -> bool:
    """Whether nothing else can have this backbone's name."""
    folders = [folder.resolve() for folder in embedded_checkpoints().values()]
    return isinstance(backbone.weights, Path) and backbone.weights.resolve() in folders


def endpoint_judge(
    model: str,
    url: str,
    seed: int = 0,
    structured: bool = True,
    timeout: float = 120.0,
    retries: int = 3,
    folder: Path | None = None,
) -> ModelJudge:
    """An OpenAI-compatible endpoint as the judge; it reads texts only. The key, where one is
    needed, comes from ``COVRR_JUDGE_KEY``.

    ``url`` ends in ``/v1`` for most servers; ``structured=False`` for servers that know no JSON
    schema (the answer is checked all the same). Temperature 0 and ``seed``. Connections and
    overloaded servers are tried again ``retries`` times, all within the ``timeout`` seconds that
    one answer may take; a request that then fails is one verdict without a score. An endpoint that
    cannot be reached, or refuses key, model or schema, is an `EndpointError`: what was judged until
    then is kept.
    """
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "rubric", "strict": True, "schema": json.loads(rubric_schema())},
    }
    options: dict[str, Any] = {
        "temperature": 0,
        "seed": seed,
        "max_completion_tokens": ANSWER_TOKENS,
    } | ({"response_format": schema} if structured else {})
    key = os.environ.get(KEY_VARIABLE)
    endpoint = Endpoint(model, url, key, KEY_VARIABLE, timeout, retries, options)

    decides = {"url": url, "seed": seed, "structured": structured}
    apart = {"query": urlsplit(url).query, "structured": structured}
    usual = {"query": "", "structured": True}
    place = distinct(
        shown_address(url), {name: value for name, value in apart.items() if value != usual[name]}
    )

    def one(case: Case) -> str | Exception:
        try:
            return endpoint.ask(prompt_of(case))
        except AnswerError as error:
            return error

    return ModelJudge(model, lambda cases: [one(case) for case in cases], decides, 1, folder, place)
