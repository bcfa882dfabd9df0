"""A store from anybody: nothing in it is believed that its bytes do not show."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from stores import KEY, filled, opened, record

from covrr_utils.store import shards
from covrr_utils.store.collection import Store
from covrr_utils.store.journal import Announced, _written
from covrr_utils.store.repair import StoreError
from covrr_utils.store.shards import Shard, pack


@pytest.fixture
def folder(tmp_path, make_description):
    return filled(tmp_path, make_description)


def forged(folder, blob, ids=("a",)):
    """A stranger's store: a shard of any bytes, announced with its right checksum."""
    sha256 = hashlib.sha256(blob).hexdigest()
    for path in folder.glob("*.safetensors"):
        path.unlink()
    line = Announced(f"{sha256[:16]}.safetensors", sha256, tuple(ids))
    (folder / line.shard).write_bytes(blob)
    (folder / "journal.jsonl").write_bytes(_written(line))
    return Store(folder.parents[1]).collection("gallery", KEY)


def header(length=None, **changes):
    """The bytes of a shard of one description whose header was changed."""
    tokens = 2
    arrays = {
        "states": np.zeros((tokens, 3), np.float16),
        "logprobs": np.zeros(tokens, np.float32),
        "token_ids": np.zeros(tokens, np.int64),
        "special": np.zeros(tokens, np.uint8),
        "lengths": np.array([tokens], np.int64),
    }
    line = {"id": "a", "text": "x", "tokens": ["x", "y"], "ended": True, "extra": {}}
    blob = save(arrays, metadata={"records": json.dumps([line])})
    size = int.from_bytes(blob[:8], "little")
    entries = json.loads(blob[8 : 8 + size])
    for name, change in changes.items():
        entries[name] = change if name == "__metadata__" else entries[name] | change
    text = json.dumps(entries).encode()
    return (length or len(text)).to_bytes(8, "little") + text + blob[8 + size :]


def test_the_forged_shard_without_a_change_is_read(folder):
    assert forged(folder, header()).record("a").description.tokens == ["x", "y"]


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\xff" * 7,
        b"\xff" * 64,
        header(length=2**63 - 1),
        header(states={"data_offsets": [-8, 4]}),
        header(states={"data_offsets": [0, 2**62]}),
        header(states={"shape": [2**40, 2**40]}),
        header(states={"shape": [-2, -3]}),
        header(states={"shape": [2.0, 3]}),
        header(states={"shape": "23"}),
        header(states={"dtype": "F64"}),
        header(states={"data_offsets": [0, 12]}, logprobs={"data_offsets": [0, 8]}),
        header(__metadata__={"records": "[" * 100_000}),
        header(__metadata__={"records": "[]"}),
        header(__metadata__={"records": '[{"id": "a"}]'}),
        header(__metadata__={"records": "null"}),
        header(__metadata__=[]),
        (2).to_bytes(8, "little") + b"[]",
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
    ],
    ids=range(19),
)
def test_a_strangers_shard_is_refused(folder, blob):
    collection = forged(folder, blob)
    with pytest.raises(StoreError, match="damaged or gone"):
        collection.record("a")
    assert collection.missing(["a"]) == ["a"]


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd", "key.json", "", "\0"])
def test_a_journal_names_no_file_elsewhere(folder, name):
    (folder / "journal.jsonl").write_bytes(
        _written(Announced(name, "0" * 64, ("a",))) + _written(Announced(name, "0" * 64, ("b",)))
    )
    assert len(opened(folder)) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from([*shards.ARRAYS, "__metadata__", "more"]),
    field=st.sampled_from(["shape", "dtype", "data_offsets"]),
    value=JSON | st.lists(st.integers(-3, 30), max_size=3),
)
def test_any_header_is_read_right_or_refused(tmp_path, name, field, value):
    blob = header(**{name: {field: value}}) if name in ("states", "lengths") else None
    if blob is None:
        size = int.from_bytes((plain := header())[:8], "little")
        entries = json.loads(plain[8 : 8 + size]) | {name: value}
        text = json.dumps(entries).encode()
        blob = len(text).to_bytes(8, "little") + text + plain[8 + size :]
    path = tmp_path / "x.safetensors"
    path.write_bytes(blob)
    try:
        found = Shard(path).record(0)
    except ValueError:
        return
    assert found.description.states.shape == (2, 3) and found.id == "a"


def test_a_shard_tells_its_key(tmp_path, make_description):
    (tmp_path / "x.safetensors").write_bytes(pack([record(make_description, "a")], "digest"))
    assert Shard(tmp_path / "x.safetensors").key == "digest"
    (tmp_path / "x.safetensors").write_bytes(header())  # as earlier versions wrote them
    assert Shard(tmp_path / "x.safetensors").key is None
