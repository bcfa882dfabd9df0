"""The code cells of a chapter, run in this process with other parameters: as a kernel runs them,
but for what IPython shows beside the printed text, and much sooner.
"""

import ast
import contextlib
import io
import json
import shutil

import matplotlib.pyplot as plt
from fontTools.subset import Options

from covrr_utils import paths
from covrr_utils.experiments.workbook import PARAMETERS_TAG, notebook_path

# how a font lays out texts: no PDF reads it, and half the time of writing one goes to shortening it
LAYOUT = ("GDEF", "GPOS", "GSUB")


def perform(chapter: str, monkeypatch, **parameters) -> str:
    """Run a chapter's code cells in order, in ``notebooks/``; what they print and show as text.

    ``parameters`` replace those of the chapter that it has.
    """
    names, printed = {"__name__": "__main__"}, io.StringIO()
    monkeypatch.chdir(paths.notebooks_dir())
    monkeypatch.setattr(paths, "_figures", [])  # a chapter decides for its own process
    left_out = [*Options._drop_tables_default, *LAYOUT]
    monkeypatch.setattr(Options, "_drop_tables_default", left_out)
    try:
        for cell in json.loads(notebook_path(chapter).read_text())["cells"]:
            if cell["cell_type"] != "code":
                continue
            tree = ast.parse("".join(cell["source"]))
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            with contextlib.redirect_stdout(printed):
                exec(compile(tree, chapter, "exec"), names)
                if last is not None:
                    shown = eval(compile(ast.Expression(last.value), chapter, "eval"), names)
                    if shown is not None:
                        print(shown.to_string() if hasattr(shown, "to_string") else repr(shown))
            if PARAMETERS_TAG in cell["metadata"].get("tags", []):
                names |= {name: value for name, value in parameters.items() if name in names}
    finally:
        plt.close("all")
    return printed.getvalue()


def plain_benchmark(folder, rows, missing=()):
    """A three-column csv with clips of the embedded benchmark: no tags, no gold traces, no
    distractors, no gallery; the path of the csv.
    """
    (folder / "videos").mkdir(parents=True)
    for video in {video for row in rows for video in row[:2]} - set(missing):
        shutil.copy(paths.mini_dir() / "videos" / "test" / f"{video}.mp4", folder / "videos")
    lines = ["pth1,pth2,edit", *(",".join(row) for row in rows)]
    (folder / "plain.csv").write_text("\n".join(lines) + "\n")
    return str(folder / "plain.csv")


def small_val(folder, count):
    """The first triplets of mini-val with their videos alone as the gallery: its descriptor."""
    rows = json.loads((paths.mini_dir() / "val.json").read_text())[0]["mini"][:count]
    videos = {video for row in rows for video in (row["video_source"], row["video_target"])}
    videos |= {video for row in rows for group in row["distractors"].values() for video in group}
    descriptor = json.loads((paths.mini_dir() / "mini-val.benchmark.json").read_text())
    folder.mkdir()
    (folder / "videos").symlink_to(paths.mini_dir() / "videos")
    (folder / "val.json").write_text(json.dumps([{"mini": rows}]))
    (folder / "gallery.json").write_text(json.dumps(sorted(videos)))
    descriptor |= {"labels": "val.json", "gallery": "gallery.json"}
    path = folder / "mini-val.benchmark.json"
    path.write_text(json.dumps(descriptor))
    return str(path)
