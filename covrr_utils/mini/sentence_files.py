"""The files by which sentence-transformers loads an embedder's folder, written without it."""

from __future__ import annotations

import json
from pathlib import Path

from covrr_utils.files import write_atomically

_MODULES = {
    "": "sentence_transformers.base.modules.transformer.Transformer",
    "1_Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "2_Normalize": "sentence_transformers.base.modules.normalize.Normalize",
}

_STATES = {"method": "forward", "method_output_name": "last_hidden_state"}


def write_sentence_files(folder: Path, width: int, instruction: str) -> None:
    """Say in a checkpoint folder what sentence-transformers has to do with it: the model's states,
    the one at the last token, normalised. ``width`` is the number of a vector's entries;
    ``instruction`` is what the system says unless another prompt is given.
    """
    files: dict[str, object] = {
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": kind}
            for number, (path, kind) in enumerate(_MODULES.items())
        ],
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction",
            "modality_config": {
                "text": _STATES,
                "image": _STATES,
                "video": _STATES,
                "message": _STATES | {"format": "structured"},
            },
            "module_output_name": "token_embeddings",
            "processing_kwargs": {
                "chat_template": {"add_generation_prompt": True},
                "video": {"do_sample_frames": False},
            },
        },
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "prompts": {"query": instruction, "document": instruction},
            "default_prompt_name": "query",
            "similarity_fn_name": "cosine",
        },
        "1_Pooling/config.json": {
            "embedding_dimension": width,
            "pooling_mode": "lasttoken",
            "include_prompt": True,
        },
        "2_Normalize/config.json": {
            "module_input_name": "sentence_embedding",
            "module_output_name": "sentence_embedding",
        },
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{json.dumps(content, indent=2)}\n".encode())
