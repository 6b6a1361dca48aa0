"""Rows are gathered late, scaled and fresh; domains change images as they say."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl.randomness import numpy_generator
from mpidcl.stream.serial.domains import Permute, Rotate, draw_domain
from mpidcl.stream.tasks import Rows, Task

PIXELS = np.arange(5 * 2 * 3 * 3, dtype=np.uint8).reshape(5, 2, 3, 3)


def rows(index: list[int]) -> Rows:
    return Rows(PIXELS, np.array(index), np.array(index) % 2, maximum=89)


def test_rows_are_scaled_float32_in_the_order_asked_for() -> None:
    x = rows([4, 0, 4]).x()
    assert x.dtype == np.float32 and x.flags.c_contiguous and len(rows([4, 0, 4])) == 3
    assert np.array_equal(x, (PIXELS[[4, 0, 4]] / 89).astype(np.float32))
    assert x.max() == 1.0


def test_rows_are_fresh_each_time() -> None:
    some = rows([1, 2])
    some.x()[:] = 7
    assert some.x().max() <= 1.0


def test_no_rows() -> None:
    assert rows([]).x().shape == (0, 2, 3, 3)


def test_labels_and_rows_must_agree() -> None:
    with pytest.raises(ValueError, match="one label per row. Found 2 for 3 rows"):
        Rows(PIXELS, np.arange(3), np.arange(2))


def test_labels_of_a_task_are_counted_unless_given() -> None:
    given = Task(0, "digits", (7, 2), rows([]), rows([]), rows([]), 0, labels=(7, 2))
    assert given.labels == (7, 2)
    assert Task(0, "digits", (7, 2), rows([]), rows([]), rows([]), 0).labels == (0, 1)


def random_images(height: int = 6, width: int = 6) -> np.ndarray:
    return numpy_generator(0, 0, "test").random((4, 2, height, width), dtype=np.float32)


def test_permutation_is_one_for_all_images_and_channels_and_loses_nothing() -> None:
    x = random_images()
    order = np.random.default_rng(1).permutation(36)
    permuted = Permute(order)(x)
    assert np.array_equal(permuted.reshape(4, 2, 36)[:, :, 5], x.reshape(4, 2, 36)[:, :, order[5]])
    back = Permute(np.argsort(order))(permuted)
    assert np.array_equal(back, x)


@pytest.mark.parametrize("quarter", range(4))
def test_right_angles_are_exact(quarter: int) -> None:
    x = random_images()
    assert np.array_equal(Rotate(90 * quarter)(x), np.rot90(x, quarter, axes=(2, 3)))


@pytest.mark.parametrize("degrees", [10.0, 33.3, 170.0])
def test_rotation_agrees_with_scipy(degrees: float) -> None:
    from scipy import ndimage

    x = random_images(9, 9)
    x[:, :, [0, -1]] = x[:, :, :, [0, -1]] = 0  # scipy cuts at the border where we fade out
    expected = ndimage.rotate(x, degrees, axes=(2, 3), reshape=False, order=1)
    assert np.allclose(Rotate(degrees)(x)[:, :, 2:7, 2:7], expected[:, :, 2:7, 2:7], atol=1e-5)


def test_drawn_domains_follow_the_generator() -> None:
    x = random_images()
    for kind in ("permute", "rotate"):
        one, same, other = (
            draw_domain(kind, numpy_generator(seed, 0, "domain 1"), 6, 6)(x)  # type: ignore[arg-type]
            for seed in (0, 0, 1)
        )
        assert np.array_equal(one, same) and not np.array_equal(one, other)
