"""The options that go past the paper: other scorers beside token states, their fusion, and a second
look at the first candidates of the ranking.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from covrr_utils.backbones.embedding_registry import embedders, source_of
from covrr_utils.experiments.options import Each, Number, OneOf, Options, Text, Whole, WholeOr
from covrr_utils.experiments.written_paths import checkpoint_from_here, from_here
from covrr_utils.retrieval.fusion import GATED, MIN_MAX, SCALES
from covrr_utils.retrieval.pooling import ALONE, CONTEXT
from covrr_utils.retrieval.words import WORD_SCORERS

STATES, EMBEDDER, TEXT_MODEL = "states", "embedder", "text-model"

MODELS = {EMBEDDER: "embedder", TEXT_MODEL: "text_model"}  # scorers that ask a model of their own

SCORERS = (STATES, CONTEXT, ALONE, *WORD_SCORERS, *MODELS)

LIKELIHOOD, YES_NO = "likelihood", "yes-no"

RERANKERS = (LIKELIHOOD, YES_NO)

DESCRIPTION, EDIT = "description", "edit"

WITH_SOURCE, WITH_TRACE = "source+edit", "source+edit+trace"

RERANK_INPUTS = (DESCRIPTION, EDIT, WITH_SOURCE, WITH_TRACE)

FUSIONS = (*SCALES, GATED)

EMBEDDER_QUERIES = (WITH_SOURCE, DESCRIPTION, WITH_TRACE)

ADAPTIVE = "adaptive"


class RankingOptions(Options):
    """From descriptions to a ranking: the scorers of the first stage, and the reranker."""

    scorers: Annotated[
        tuple[str, ...],
        BeforeValidator(Each(kind=OneOf(names=SCORERS), noun="scorer", single=True, least=1)),
    ] = Field(
        (STATES,),
        description="what compares descriptions: their pooled states (as 'embedding' says, or"
        " 'context' and 'alone' side by side), their words by bm25 or tfidf; or an embedder, which"
        " reads the gallery's videos by itself, or a text-model, which reads the descriptions; give"
        " it once for each, several are fused (default: states)",
    )
    weights: Annotated[tuple[float, ...], BeforeValidator(Each(kind=Number(), noun="weight"))] = (
        Field((), description="weight of each scorer when they are fused (default: all the same)")
    )
    fuse: Annotated[str, BeforeValidator(OneOf(names=FUSIONS))] = Field(
        MIN_MAX,
        description="the scale to which lists of scores are brought before they are summed;"
        " gated-residual: the second of two scorers moves the scores of the first where both agree"
        " (R^3)",
    )
    edit_weight: Annotated[float, BeforeValidator(Number())] = Field(
        1.0,
        description="for bm25 and tfidf: how much words of the query's description count that stand"
        " in the edit too",
    )
    embedder: Annotated[str | None, BeforeValidator(Text(optional=True))] = Field(
        None,
        description="for the scorer embedder: a published name (qwen3-vl-embedding-2b), the folder"
        " of a checkpoint in that format, or a hub id",
    )
    embedder_query: Annotated[str, BeforeValidator(OneOf(names=EMBEDDER_QUERIES))] = Field(
        WITH_SOURCE,
        description="what of a query the embedder reads: the reference video and the edit, the"
        " text of the description, or the video, the edit and the trace",
    )
    embedder_dims: Annotated[int | None, BeforeValidator(Whole(optional=True))] = Field(
        None, description="only the first N entries of the embedder's vectors (default: all)"
    )
    embedder_instruction: Annotated[str | None, BeforeValidator(Text(optional=True))] = Field(
        None, description="what the embedder is told before a query (default: the published text)"
    )
    text_model: Annotated[str | None, BeforeValidator(Text(optional=True, stands_for="DIR"))] = (
        Field(
            None,
            description="for the scorer text-model: the folder of a checkpoint that"
            " sentence-transformers loads",
        )
    )
    rerank: Annotated[str | None, BeforeValidator(OneOf(names=RERANKERS, optional=True))] = Field(
        None,
        description="score the first candidates again with the backbone: likelihood of the query's"
        " description given the candidate's video, or yes-no, its answer to whether both match"
        " (default: none)",
    )
    rerank_model: Annotated[str | None, BeforeValidator(Text(optional=True))] = Field(
        None,
        description="what reranks: a checkpoint folder or hub id, such as"
        " Qwen/Qwen3-VL-Reranker-8B (default: the backbone)",
    )
    rerank_depth: Annotated[int | str, BeforeValidator(WholeOr(names=(ADAPTIVE,)))] = Field(
        20,
        description="how many candidates are scored again; adaptive: none while the first stage is"
        " sure, else five more until the reranker is, at most 50",
    )
    rerank_weight: Annotated[float, BeforeValidator(Number(most=1.0))] = Field(
        1.0, description="the reranker's share in the new order; the first stage has the rest"
    )
    rerank_input: Annotated[str, BeforeValidator(OneOf(names=RERANK_INPUTS))] = Field(
        DESCRIPTION,
        description="what of the query the reranker is given; those with the source or the trace"
        " are for yes-no",
    )

    @field_validator("rerank_model")
    @classmethod
    def _rerank_model_from_here(cls, rerank_model: str | None) -> str | None:
        return rerank_model and checkpoint_from_here(rerank_model)

    @field_validator("embedder")
    @classmethod
    def _embedder_from_here(cls, embedder: str | None) -> str | None:
        if embedder is None or embedder in embedders():
            return embedder
        folder = from_here(embedder)
        return folder if Path(folder).is_dir() else source_of(embedder)

    @field_validator("text_model")
    @classmethod
    def _text_model_from_here(cls, text_model: str | None) -> str | None:
        return None if text_model is None else from_here(text_model)

    @model_validator(mode="after")
    def _each_model_and_its_scorer(self) -> Self:
        for scorer, option in MODELS.items():
            model = getattr(self, option)
            if scorer in self.scorers and model is None:
                raise ValueError(f"the scorer {scorer!r} needs a model: give the option {option}")
            if scorer not in self.scorers and model is not None:
                raise ValueError(
                    f"{option} {model!r} is asked by the scorer {scorer!r} alone; name that among"
                    f" the scorers, which are: {', '.join(self.scorers)}"
                )
        return self

    @model_validator(mode="after")
    def _one_weight_for_each(self) -> Self:
        if self.weights and len(self.weights) != len(self.scorers):
            raise ValueError(
                f"{len(self.weights)} weights for {len(self.scorers)} scorers"
                f" ({', '.join(self.scorers)}); give one weight for each, or none"
            )
        if twice := [name for name in self.scorers if self.scorers.count(name) > 1]:
            raise ValueError(f"the scorer {twice[0]!r} is given twice")
        if self.fuse == GATED and len(self.scorers) != 2:
            raise ValueError(
                f"fuse 'gated-residual' needs two scorers, a base and another, and there"
                f" {'is' if len(self.scorers) == 1 else 'are'} {len(self.scorers)}"
                f" ({', '.join(self.scorers)}); give --scorers twice, or take another fuse"
            )
        if self.rerank == LIKELIHOOD and self.rerank_input != DESCRIPTION:
            raise ValueError(
                "rerank 'likelihood' needs rerank_input 'description': a candidate shows what"
                " comes after the edit, so the edit's own likelihood tells nothing; for"
                f" {self.rerank_input!r}, take rerank 'yes-no'"
            )
        return self


def of_states(scorers: tuple[str, ...]) -> bool:
    """Whether one of these scorers compares the pooled states of descriptions."""
    return any(scorer not in (*WORD_SCORERS, *MODELS) for scorer in scorers)


RANKING = tuple(RankingOptions.model_fields)
