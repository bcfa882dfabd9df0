"""The run that fills the store in ``runs/``, from which tests and chapters are served."""

from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.run import Run

LAYERS = (0.25, 0.5, 0.75, 1.0)  # of chapter 06


def filling_run() -> Run:
    """The whole of mini by the default backbone, with the states of the layers that chapter 06
    compares: no video is looked at again for them, and a run without layers takes over what this
    one holds.
    """
    return Run(RunConfig(device="cpu", layers=LAYERS))
