"""float16 and int8 codes: the compiled and the CUDA form are the definition, bit for bit."""

import numpy as np
import pytest
import torch
from cuda_on_cpu import EmulatedDevice, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpidcl_kernels import quantise as module
from mpidcl_kernels.base import threads
from mpidcl_kernels.quantise import cuda, dequantise, dequantise_definition, quantise, quantise_definition

FORMS = ("float16", "int8")
SETTINGS = settings(max_examples=60)
any_float = st.one_of(
    st.floats(width=32),
    st.floats(-1, 1, width=32),
    st.sampled_from([0.0, -0.0, 1e-45, 1e-38, 3e38, np.inf, -np.inf, np.nan]),
)
vectors = arrays(np.float32, st.integers(0, 300), elements=any_float)


@pytest.fixture
def any_threads():
    chosen = list(threads._chosen)
    yield threads.set_threads
    threads._chosen[:] = chosen


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.signbit(a), np.signbit(b))
        np.testing.assert_array_equal(a, b)


def normal(size, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=size).astype(dtype)


@SETTINGS
@given(vectors, st.sampled_from(FORMS), st.sampled_from([1, 7, 64, 1024]), st.booleans())
def test_compiled_is_the_definition(values, form, block, double):
    values = values.astype(np.float64) if double else values
    codes, scales = quantise(values, form, block)
    same((codes, scales), quantise_definition(values, form, block))
    same([dequantise(codes, scales, block)], [dequantise_definition(codes, scales, block)])


@needs_compiler
@settings(max_examples=25)
@given(vectors, st.sampled_from(FORMS), st.sampled_from([1, 7, 64, 1024]), st.booleans())
def test_cuda_is_the_definition(values, form, block, double):
    values = values.astype(np.float64) if double else values
    wanted = quantise_definition(values, form, block)
    codes, scales = (np.full_like(part, 3) for part in wanted)
    cuda.quantise(EmulatedDevice(), values, block, codes, scales)
    same((codes, scales), wanted)
    out = np.empty(values.size, values.dtype)
    cuda.dequantise(EmulatedDevice(), codes, scales, block, out)
    same([out], [dequantise_definition(codes, scales, block).astype(values.dtype)])


@needs_compiler
def test_cuda_with_many_thread_blocks(monkeypatch):
    monkeypatch.setattr(cuda, "BLOCKS", 3)  # each looks at several parts of the vector
    values = normal(3001)
    wanted = quantise_definition(values, "float16")
    codes, scales = (np.empty_like(part) for part in wanted)
    cuda.quantise(EmulatedDevice(), values, 1024, codes, scales)
    same((codes, scales), wanted)


def test_every_float16_goes_there_and_back():
    bits = np.arange(2**16, dtype=np.uint16)
    finite = bits.view(np.float16)[(bits & 0x7C00) != 0x7C00]
    for scale in (2.0**-126, 1.0, 2.0**111):
        scales = np.array([scale], np.float32)
        values = dequantise(finite, scales)
        same([values], [finite.astype(np.float32) * np.float32(scale)])
    rest = bits.view(np.float16)[(bits & 0x7C00) == 0x7C00]
    same([dequantise(rest, np.ones(1, np.float32))], [rest.astype(np.float32)])


def test_float16_rounds_as_numpy_does_at_and_around_every_halfway_point():
    half = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = (half[:-1] + half[1:]) / 2
    values = np.concatenate([half, middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, 9e9)])
    # One infinity makes the scale 1: the values are rounded as they are.
    values = np.concatenate([values, -values, [65519.0, 65520.0, 1e38, np.inf, -np.inf]]).astype(np.float32)
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float16)
    codes, scales = quantise(values, "float16")
    assert scales.tolist() == [1.0]
    same([codes], [wanted])


@pytest.mark.parametrize("form", FORMS)
def test_nan_of_every_payload_stays_nan(form):
    payloads = np.array([1, 0x1000, 0x2000, 0x400000, 0x7FFFFF], np.uint32) | np.uint32(0x7F800000)
    values = np.concatenate([payloads, payloads | np.uint32(1 << 31)]).view(np.float32)
    codes, scales = quantise(values, form)
    assert np.isnan(dequantise(codes, scales)).all()


def test_a_block_with_infinity_is_nan_and_its_neighbours_are_not():
    values = normal(3000)
    values[1500] = -np.inf
    back = dequantise(*quantise(values, "int8"))
    assert np.isnan(back).nonzero()[0].tolist() == list(range(1024, 2048))


def test_pinned_int8():
    values = np.array([127, 0.5, 1.5, 2.5, -0.5, -126.6, 1e-38, -1e-38, 0, 0, 3e38], np.float32)
    codes, steps = quantise(values, "int8", block=6)
    assert codes.tolist() == [127, 0, 2, 2, 0, -127, 0, 0, 0, 0, 127]
    np.testing.assert_allclose(steps, [1.0, 3e38 / 127], rtol=1e-6)
    codes, steps = quantise(values[6:10], "int8", block=6)  # a step below the normal range becomes 0
    assert (codes.tolist(), steps.tolist()) == ([0, 0, 0, 0], [0.0])


def test_pinned_float16():
    for largest, scale in ((0.0, 1.0), (0.99, 1.0), (1.0, 2.0), (3e38, 2.0**127), (1e-44, 2.0**-126)):
        assert quantise(np.array([largest, -largest], np.float32), "float16")[1].tolist() == [scale]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [2, 3])
def test_threads_change_no_bit(form, count, any_threads):
    values = normal(3 * module.PIECE + 77)
    any_threads(1)
    one = quantise(values, form)
    back = dequantise(*one)
    same(one, quantise_definition(values, form))
    any_threads(count)
    same(quantise(values, form), one)
    same([dequantise(*one)], [back])


@pytest.mark.parametrize("form", FORMS)
def test_strided_and_unaligned_vectors(form):
    wide = normal(5000)
    same(quantise(wide[::2], form), quantise_definition(wide[::2], form))
    same(quantise(wide[::-1], form), quantise_definition(wide[::-1], form))
    block = np.zeros(4 * wide.size + 1, np.uint8)
    unaligned = block[1:].view(np.float32)
    unaligned[:] = wide
    assert not unaligned.flags.aligned
    codes, scales = quantise(unaligned, form)
    same((codes, scales), quantise_definition(wide, form))
    twice = np.repeat(codes, 2)[::2], np.repeat(scales, 2)[::2]
    same([dequantise(*twice)], [dequantise(codes, scales)])


@pytest.mark.parametrize("form", FORMS)
def test_torch_tensors_in_place(form):
    values = torch.from_numpy(normal(2000))
    codes, scales = quantise(values, form)
    assert isinstance(codes, torch.Tensor)
    assert codes.dtype == getattr(torch, form)
    again = torch.zeros_like(codes), torch.zeros_like(scales)
    filled = quantise(values, form, out=again)
    assert [t.data_ptr() for t in filled] == [t.data_ptr() for t in again]
    assert torch.equal(again[0], codes) and torch.equal(again[1], scales)
    out = torch.empty(2000, dtype=torch.float64)
    assert dequantise(codes, scales, out=out).data_ptr() == out.data_ptr()
    np.testing.assert_array_equal(out, dequantise_definition(codes.numpy(), scales.numpy()))


ONE = np.ones(1, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: quantise(ONE, "int4"), ValueError, r"`form` should be 'float16' or 'int8'. Found 'int4'."),
        (lambda: quantise(ONE, "int8", 0), ValueError, "`block` should be at least 1. Found 0."),
        (lambda: quantise(ONE.astype(int)), TypeError, "`values` should be float32 or float64. Found int64."),
        (lambda: quantise(ONE.astype(">f4")), TypeError, "`values` should be float32 or float64"),
        (
            lambda: quantise(np.ones((2, 2))),
            ValueError,
            r"`values` should be a vector. Found shape \[2, 2\].",
        ),
        (lambda: quantise(ONE, out=(np.ones(2, np.int8), ONE)), ValueError, r"`codes` should be \[1\]"),
        (lambda: quantise(ONE, out=(np.ones(1), ONE)), TypeError, "`codes` should be int8. Found float64."),
        (lambda: dequantise(ONE, ONE), TypeError, "`codes` should be float16 or int8. Found float32."),
        (
            lambda: dequantise(np.ones(9, np.int8), ONE, 4),
            ValueError,
            r"`scales` should be \[3\] for 9 codes",
        ),
        (lambda: dequantise(np.ones(9, np.float16), ONE[:0]), ValueError, r"`scales` should be \[1\]"),
        (lambda: dequantise(np.ones(1, np.int8), ONE, out=np.ones(3)[::2]), ValueError, r"`out` should be"),
        (lambda: quantise([1.0]), TypeError, "`values` should be a NumPy"),
        (lambda: quantise(ONE, "int8", 2.5), TypeError, "`block` should be a whole number. Found 2.5."),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_what_is_filled_lies_apart_from_what_is_read():
    values = np.linspace(-1, 1, 300, dtype=np.float32)
    with pytest.raises(ValueError, match="`codes` should be apart from `values`. Found both in the same"):
        quantise(values, "float16", out=(values.view(np.float16)[:300], None))
    with pytest.raises(ValueError, match="`scales` should be apart from `values`"):
        quantise(values, "float16", out=(None, values[:1]))
    with pytest.raises(ValueError, match="`out` should be apart from `codes`"):
        dequantise(values.view(np.float16)[:300], ONE, out=values)
    with pytest.raises(ValueError, match="`out` should be apart from `scales`"):
        dequantise(np.ones(300, np.int8), values[:1], out=values)


def test_an_out_that_cannot_be_filled_is_refused():
    out = np.ones(2, np.int8)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="contiguous and writable"):
        quantise(np.ones(2), out=(out, ONE.copy()))
    with pytest.raises(ValueError, match="contiguous and writable"):
        dequantise(np.ones(2, np.int8), ONE, out=np.ones(4, np.float32)[::2])
