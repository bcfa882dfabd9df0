"""A byte that changes anywhere in a store is named, or harms nothing."""

import shutil

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stub_run import description

from covrr_utils.backbones.description import Record
from covrr_utils.store.collection import Store
from covrr_utils.store.repair import StoreError

KEY = {"a": "b"}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    what=st.sampled_from(["journal.jsonl", "key.json", "shard"]),
)
def test_any_damage_of_a_store_is_named_or_harmless(tmp_path, at, byte, what):
    folder = tmp_path / f"{at}-{byte}-{what}"
    collection = Store(folder).collection("gallery", KEY)
    for name in ("x", "y"):
        collection.add([Record(name, description(name))])
    path = (
        next(collection.folder.glob("*.safetensors"))
        if what == "shard"
        else collection.folder / what
    )
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    right = {
        name: description(name).states.astype(np.float16).astype(np.float32).tobytes()
        for name in "xy"
    }
    try:
        for name, record in Store(folder).collection("gallery", KEY).records().items():
            assert record.description.states.tobytes() == right[name]
    except StoreError as error:
        assert "its 1 descriptions are computed again, and the rest stays" in str(error)
    collection = Store(folder).collection("gallery", KEY)
    lacking = collection.missing("xy")
    assert len(lacking) <= 1, "one byte costs one shard"
    collection.add([Record(name, description(name)) for name in lacking])
    again = Store(folder).collection("gallery", KEY)
    assert again.missing("xy") == []
    assert {n: r.description.states.tobytes() for n, r in again.records().items()} == right
    shutil.rmtree(folder)
