"""The codec: what goes in comes out, and nothing that is malformed gets through."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsfusion.models.wire import protocol

SHAPES = st.lists(st.integers(0, 5), max_size=4)
TYPES = st.sampled_from(sorted(protocol.DTYPES))


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=8), st.tuples(TYPES, SHAPES), max_size=4), st.booleans())
def test_round_trip(kinds, binary):
    tensors = {
        name: np.arange(np.prod(shape, dtype=int)).astype(protocol.DTYPES[kind]).reshape(shape)
        for name, (kind, shape) in kinds.items()
    }
    body, length = protocol.encode_request(tensors, {"hsfusion": "{}"})
    sent = bytes(body)
    assert len(sent) == len(body) and b"".join(body) == sent  # a second time, too: requests are tried again
    request = protocol.decode_request(sent, length)
    reply = protocol.decode_reply(*protocol.encode_reply("m", tensors, {"model_sha256": "a"}, binary))
    assert protocol.wants_binary(request.head)
    assert (request.parameters["hsfusion"], reply.parameters) == ("{}", {"model_sha256": "a"})
    for message in (request, reply):
        assert list(message.tensors) == list(tensors)
        for name, array in tensors.items():
            assert message.tensors[name].dtype == array.dtype
            assert message.tensors[name].flags.aligned and message.tensors[name].flags.writeable
            np.testing.assert_array_equal(message.tensors[name], array)


def test_any_memory_layout_goes_in():
    array = np.arange(24, dtype=">f4").reshape(2, 3, 4).transpose(2, 0, 1)[::2]
    body, length = protocol.encode_request({"y": array}, {})
    out = protocol.decode_request(bytes(body), length).tensors["y"]
    np.testing.assert_array_equal(out, array)


def entry(**changes):
    return {"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}, **changes}


@pytest.mark.parametrize(
    ("entries", "tail", "words"),
    [
        ([entry()], b"\0" * 7, "cut short"),
        ([entry()], b"\0" * 9, "1 bytes more"),
        ([entry(shape=[3])], b"\0" * 8, "needs 12"),
        ([entry(shape=[-2])], b"\0" * 8, "impossible shape"),
        ([entry(shape=[2.0])], b"\0" * 8, "impossible shape"),
        ([entry(shape=[2**62, 2**62])], b"\0" * 8, "needs"),
        ([entry(datatype="BYTES")], b"\0" * 8, "BYTES"),
        ([entry(parameters={})], b"\0" * 8, "announces None"),
        ([entry(), entry()], b"\0" * 16, "two tensors"),
        ([entry(data=[1])], b"", "has 1 numbers"),
        ([entry(data=["a", "b"])], b"", "else than numbers"),
        ([entry(name=["a"])], b"\0" * 8, "must be a text"),
        (["y"], b"", "not that of"),
        ("y", b"", "not that of"),
        (None, b"", "not that of"),
    ],
)
def test_malformed_messages(entries, tail, words):
    head = json.dumps({"inputs": entries}).encode()
    with pytest.raises(protocol.ProtocolError, match=words):
        protocol.decode_request(head + tail, len(head))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"inputs": {}}', b"{" * 9])
def test_heads_that_are_none(body):
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_request(body, None)
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_request(body, len(body) + 1)


def test_types_that_do_not_travel():
    with pytest.raises(protocol.ProtocolError, match="complex64"):
        protocol.encode_request({"y": np.zeros(2, np.complex64)}, {})


def test_asking_for_binary():
    yes, no = {"parameters": {"binary_data": True}}, {}
    assert protocol.wants_binary({"outputs": [yes, yes]})
    assert not protocol.wants_binary({"outputs": [yes, no]})
    assert not protocol.wants_binary({})
