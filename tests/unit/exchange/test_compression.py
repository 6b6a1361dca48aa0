"""Formats: sizes, error bounds, positions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpidcl.errors import FrameError
from mpidcl.exchange.packing.compression import (
    BLOCK,
    decode,
    encode,
    encoded_bytes,
    largest_count,
    positions_of,
    top_changes,
)
from mpidcl.network.frames.message import Message
from mpidcl_kernels.quantise import quantise_definition

FORMATS = ("float32", "float16", "int8")
vectors = arrays(np.float32, st.integers(0, 2500), elements=st.floats(-(2.0**100), 2.0**100, width=32))


def round_trip(values, form):
    encoded, scalars = encode("model", values, form)
    message = Message("m", scalars, encoded)
    assert message.payload_bytes() == encoded_bytes(form, values.size)
    return decode(message, "model")


@given(vectors)
def test_float32_shares_the_memory_and_keeps_every_bit(values):
    encoded, _ = encode("model", values, "float32")
    assert encoded["model"] is values
    assert round_trip(values, "float32") is values


@given(vectors)
def test_float16_error_is_below_the_documented_bound(values):
    error = np.abs(round_trip(values, "float16").astype(np.float64) - values)
    largest = np.abs(values).max(initial=0)
    scale = 2.0 ** np.ceil(np.log2(max(largest, 2.0**-126))) * 2
    assert np.all(error <= np.maximum(np.abs(values.astype(np.float64)) / 2**11, scale / 2**25))


@given(vectors)
def test_int8_error_is_half_a_step_of_its_block(values):
    error = np.abs(round_trip(values, "int8").astype(np.float64) - values)
    for start in range(0, values.size, BLOCK):
        block = slice(start, start + BLOCK)
        step = np.abs(values[block].astype(np.float64)).max() / 127
        assert np.all(error[block] <= step * 0.50001 + 1e-35)


@given(vectors)
def test_what_travels_is_the_definition(values):
    for form, scale in (("float16", "model_scale"), ("int8", "model_steps")):
        arrays, scalars = encode("model", values, form)
        codes, scales = quantise_definition(values, form)
        assert arrays["model"].tobytes() == codes.tobytes()
        assert np.asarray({**arrays, **scalars}[scale], np.float32).tobytes() == scales.tobytes()


def test_float16_keeps_tiny_fisher_information():
    fisher = np.float32(1e-9) * np.arange(1, 100, dtype=np.float32)
    np.testing.assert_allclose(round_trip(fisher, "float16"), fisher, rtol=1e-3)


@pytest.mark.parametrize("form", FORMATS)
def test_not_a_number_arrives_as_such(form):
    values = np.ones(3000, np.float32)
    values[2100] = np.nan
    assert np.isnan(round_trip(values, form)[2100])
    assert np.all(np.isfinite(round_trip(values, form)[:2000]))


@given(st.sampled_from(FORMATS), st.integers(-10, 10**7))
def test_largest_count_is_the_largest_that_fits(form, room):
    count = largest_count(form, room)
    assert count == 0 or encoded_bytes(form, count) <= room
    assert encoded_bytes(form, count + 1) > room


@given(arrays(np.float32, st.integers(1, 300), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])), st.data())
def test_top_positions_are_the_largest_and_the_first_among_equals(magnitude, data):
    count = data.draw(st.integers(1, magnitude.size))
    expected = sorted(np.argsort(-magnitude, kind="stable")[:count])
    found = top_changes(magnitude, np.zeros_like(magnitude), count)
    assert found.tolist() == expected
    assert found.dtype == np.uint16


def test_more_positions_than_there_are_means_all():
    zeros = np.zeros(70_000, np.float32)
    assert top_changes(zeros[:5], zeros[:5], 9).tolist() == [0, 1, 2, 3, 4]
    assert top_changes(zeros, zeros, 2).dtype == np.uint32
    assert top_changes(zeros[:0], zeros[:0], 1).size == 0


def test_positions_outside_the_model_are_refused():
    five = np.zeros(5, np.float32)
    assert positions_of(Message("m", {"start": 3}, {"model": five}), "model", 8) == slice(3, 8)
    with pytest.raises(FrameError, match="inside its 8 shared values. Found 4:9"):
        positions_of(Message("m", {"start": 4}, {"model": five}), "model", 8)
    chosen = np.array([0, 1, 2, 3, 8], np.uint16)
    with pytest.raises(FrameError, match="position"):
        positions_of(Message("m", {}, {"model": five, "positions": chosen}), "model", 8)
    with pytest.raises(FrameError, match="4 positions for 5 values"):
        positions_of(Message("m", {}, {"model": five, "positions": chosen[:4]}), "model", 8)
    turned = np.array([0, 1, 1, 2, 3], np.uint16)
    with pytest.raises(FrameError, match="should ascend"):
        positions_of(Message("m", {}, {"model": five, "positions": turned}), "model", 8)


def test_a_wrong_number_of_steps_is_refused():
    codes, steps = np.zeros(1025, np.int8), np.ones(1, np.float32)
    with pytest.raises(FrameError, match=r"1025 int8 values should come with 2 steps\. Found 1\."):
        decode(Message("m", {}, {"model": codes, "model_steps": steps}), "model")
