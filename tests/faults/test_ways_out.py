"""No link and no name leads out of the folder that it belongs to."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covrr_utils.experiments.config import RunConfig
from covrr_utils.experiments.places import file_name
from covrr_utils.experiments.run import Run
from covrr_utils.video.clips import ClipError


def test_links_do_not_lead_out_of_the_video_folder(small_benchmark, filled_runs, tmp_path):
    run = Run(
        RunConfig(benchmark=str(small_benchmark), backbone="mini-3m", batch_size=8, device="cpu")
    )
    first = run.benchmark.triplets[0]
    path = run.benchmark.video_path(first.reference)
    shutil.copy(path, tmp_path / "secret.mp4")
    path.unlink()
    path.symlink_to(tmp_path / "secret.mp4")
    result = run.evaluate("single_stage")
    assert (
        result.queries[0]["cause"] == "video: outside the video folder"
        and result.triplets == 6
        and result.ranks[0] is None
    )
    with pytest.raises(ClipError, match="leads outside"):
        run.clip(first.reference)


@given(
    st.lists(
        st.text() | st.sampled_from(["..", "/etc/passwd", "a\\b", "\0"]), min_size=1, max_size=3
    )
)
def test_no_name_of_a_result_leads_out_of_its_folder(tmp_path_factory, parts):
    name = file_name("two_stage", *parts)
    folder = tmp_path_factory.getbasetemp()
    assert (folder / name).resolve().parent == folder.resolve() and len(name.encode()) < 255
