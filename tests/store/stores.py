"""What the tests of damaged, unreadable and strange stores share."""

from covrr_utils.backbones.description import Record
from covrr_utils.store.collection import Store

KEY = {"prompt": "Describe.", "weights": "abc"}

NAMES = ["a", "b", "c", "d"]


def filled(tmp_path, make_description):
    """The folder of a collection with two shards: a and b, c and d."""
    collection = Store(tmp_path).collection("gallery", KEY)
    collection.add([record(make_description, name) for name in "ab"])
    collection.add([record(make_description, name) for name in "cd"])
    return collection.folder


def record(make_description, name):
    return Record(name, make_description([" " + name, " rests"], seed=ord(name)))


def opened(folder):
    return Store(folder.parents[1]).collection("gallery", KEY)


def shard_of(folder, id_):
    return folder / opened(folder)._index.places[id_][0].shard


def texts(collection):
    return {id_: found.description.text for id_, found in collection.records().items()}


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])
