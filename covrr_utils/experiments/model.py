"""The model of a run: what it is at once, its weights only when something has to be computed.

Store keys hold facts of a model that only the loaded model can tell. They are kept in
``runs/store/backbones`` under everything they depend on: the content of the checkpoint, the options
it is loaded with, the libraries, and the code of this package that tells them. So a run whose
descriptions are all stored neither loads the model nor imports torch.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from covrr_utils import paths
from covrr_utils.backbones.identity import Identity, files_hash, weights_hash
from covrr_utils.backbones.registry import checkpoint_folder, notice
from covrr_utils.backbones.sizes import find
from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.engines import server_of
from covrr_utils.experiments.serving import Serving
from covrr_utils.files import FileError, content_hash, digest, read_or_set_aside, say, write_json
from covrr_utils.store.batches import Compute

if TYPE_CHECKING:
    from covrr_utils.backbones.backbone import Backbone
    from covrr_utils.backbones.lanes import Lane
    from covrr_utils.backbones.writer import Writer
    from covrr_utils.experiments.cluster import Cluster

LIBRARIES = ("torch", "transformers", "tokenizers")

CODE = ("backbones", "video")  # the folders of this package whose code tells an identity

# device files of NVIDIA (also under WSL) and AMD: where there is none, Linux has no GPU
GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


class Model:
    """The backbone that a configuration names, on a benchmark of one ``kind``; or a loaded one.

    Runs that differ in their queries alone share one.
    """

    def __init__(self, config: RunConfig, kind: str, backbone: Backbone | None = None):
        self.config, self.kind = config, kind
        self._backbone = backbone
        self._noticed = backbone is not None
        self.serving = Serving(config) if server_of(config.engine) else None
        self.companions: dict[str, Model] = {}  # models that the same runs ask beside it

    @property
    def backbone(self) -> Backbone:
        """The frozen model, loaded when first asked for."""
        if self._backbone is None:
            self._notice()
            self._backbone = self._load()
        return self._backbone

    def lanes(self) -> list[Lane]:
        """How the model works on several batches at once, see `covrr_utils.backbones.lanes`."""
        from covrr_utils.backbones.lanes import lanes

        return lanes(self.backbone)

    def computes(
        self, batch: Callable[[Writer], Compute], path_of: Callable[[str], Path]
    ) -> list[Compute]:
        """``batch`` of everything that writes descriptions at once: of each lane, or of the run's
        server, which gets the files that ``path_of`` names.
        """
        if self.serving is not None:
            return [batch(self.serving.writer(self.backbone, path_of))]
        return [lane.inside(batch(lane.backbone)) for lane in self.lanes()]

    def _load(self) -> Backbone:
        from covrr_utils.backbones.backbone import Backbone

        config = self.config
        return Backbone.load(
            config.backbone,
            config.device,
            config.dtype,
            config.batch_size,
            attention=config.attention,
            device_map=config.device_map,
            quantization=config.quantization,
            revision=config.revision,
            fps=config.fps,
            num_frames=config.num_frames,
            video_pixels=config.video_pixels,
        )

    @property
    def identity(self) -> Identity:
        """All of the model that decides what it writes. A model that was loaded in these runs
        before is not loaded to tell.
        """
        identity = self._kept if self._backbone is None else self._backbone.identity
        return identity if self.serving is None else replace(identity, server=self.serving.facts)

    @property
    def generated_tokens(self) -> int:
        """Tokens that the model has written since it was loaded; 0 where it was not."""
        return 0 if self._backbone is None else self._backbone.generated_tokens

    @cached_property
    def cluster(self) -> Cluster:
        """The workers of the engine 'ray', which have loaded this model."""
        from covrr_utils.experiments.cluster import Cluster

        return Cluster(self.config)

    def release(self) -> None:
        """Let go of the model, its companions and their memory, and of the workers that loaded it
        too; all are there again when needed.
        """
        if cluster := vars(self).pop("cluster", None):
            cluster.close()
        self._backbone = None
        for companion in self.companions.values():
            companion.release()
        gc.collect()
        if torch := sys.modules.get("torch"):
            torch.cuda.empty_cache()

    @cached_property
    def _kept(self) -> Identity:
        self._notice()
        path = self._path()
        if path and (identity := read_or_set_aside(path, _parsed)) is not None:
            return identity
        identity = self.backbone.identity
        if path:
            try:
                write_json(path, asdict(identity))
            except FileError as error:
                say(f"{error}. The model is loaded again next time, to tell what it is")
        return identity

    def _path(self) -> Path | None:
        """Where this model's identity is kept; None where there is no such checkpoint, or its files
        cannot be read: loading says what is wrong.
        """
        config = self.config
        try:
            content = _content(config)
        except OSError:
            return None
        package = Path(__file__).resolve().parents[1]
        code = [file for part in CODE for file in sorted((package / part).glob("*.py"))]
        key = digest(
            {
                "content": content,
                "placement": [_device(config.device), config.dtype, config.device_map],
                "quantization": config.quantization,
                "sampling": [config.fps, config.num_frames, config.video_pixels],
                "libraries": [version(name) for name in LIBRARIES],
                "code": [content_hash(file) for file in code],
            }
            | self._more()
        )
        return paths.runs_dir() / "store" / "backbones" / f"{key}.json"

    def _more(self) -> dict[str, object]:
        """What else an identity depends on."""
        return {}

    def _notice(self) -> None:
        """Say once what has to be said before any number of this model on these videos."""
        if not self._noticed and (limit := notice(self.config.backbone, self.kind)):
            print(limit, file=sys.stderr)
        self._noticed = True


def _content(config: RunConfig) -> list[str]:
    """What a checkpoint is: a folder by its name and files, a model of the hub by its commit.

    Raises
    ------
    OSError
        If it cannot be read, or cannot be had from the hub.
    """
    folder = checkpoint_folder(config.backbone)
    if folder is not None:
        return [folder.name, weights_hash(folder, folder.name), files_hash(folder)]
    published = find(config.backbone)
    source = published.hub if published else config.backbone
    if "/" not in source:
        raise FileNotFoundError(source)
    from covrr_utils.backbones.checkpoints import commit_of

    return [source, commit_of(source, config.revision)]


def _device(device: str) -> str:
    """The device that is meant, in the form that decides a dtype: ``auto`` is ``cpu`` where there
    can be no GPU, which needs no torch to tell.
    """
    if device == "cpu" or (
        device == "auto"
        and sys.platform == "linux"
        and not any(Path(file).exists() for file in GPU_FILES)
    ):
        return "cpu"
    from covrr_utils.backbones.placement import check_device

    return check_device(device)


def _parsed(blob: bytes) -> Identity:
    """An identity as it was written; `ValueError` or `TypeError` for anything else."""
    identity = Identity(**json.loads(blob))
    for field in fields(Identity):
        kind = {"str": str, "int": int}.get(str(field.type), dict)
        if not isinstance(getattr(identity, field.name), kind):
            raise ValueError(f"{field.name} is not as expected")
    return identity
