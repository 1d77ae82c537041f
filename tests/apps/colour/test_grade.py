"""Sampling pixels, and grading them."""

import dataclasses

import numpy as np
import pytest
from apps.colour.pictures import noise, ramp

from brenier.apps.colour import SPACES, Graded, Photo, grade, sample_pixels
from brenier.errors import DataError


def unchanged(points: np.ndarray) -> np.ndarray:
    return points


def largest_change(photo: Photo, graded: Graded) -> int:
    return int(np.abs(photo.pixels.astype(int) - graded.pixels.astype(int)).max())


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_samples_are_pixels_up_to_half_a_level(space: str, dtype: type) -> None:
    photo = noise(20, 20, dtype)
    points = sample_pixels(photo, 400, seed=0, space=space)
    assert points.shape == (400, 3)
    assert points.dtype == np.float32
    back = SPACES[space].to_srgb(points.astype(float)) * photo.levels
    near = np.sort(np.rint(back).astype(int), axis=0)
    # Without replacement, 400 of 400 pixels are all of them; ties at half a level may round either way.
    np.testing.assert_allclose(
        near, np.sort(photo.pixels.reshape(-1, 3), axis=0), atol=1
    )


def test_atoms_become_a_density() -> None:
    photo = Photo(np.full((50, 50, 3), 100, dtype=np.uint8))
    levels = sample_pixels(photo, 2000, seed=0, space="srgb") * 255
    assert len(np.unique(levels, axis=0)) == 2000
    np.testing.assert_allclose(levels.mean(0), 100, atol=0.03)
    np.testing.assert_allclose(levels.std(0), 12**-0.5, atol=0.01)


def test_samples_depend_on_the_seed_alone() -> None:
    first, again, other = (sample_pixels(noise(), 50, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(
        first, sample_pixels(noise(), 50, seed=np.random.default_rng(0))
    )


def test_transparent_pixels_are_not_sampled() -> None:
    photo = Photo(
        np.zeros((10, 10, 3), dtype=np.uint8), np.zeros((10, 10), dtype=np.uint8)
    )
    with pytest.raises(DataError, match="no visible pixel"):
        sample_pixels(photo, 5, seed=0)
    photo.pixels[3, 4], photo.alpha[3, 4] = 255, 1  # type: ignore[index]
    assert sample_pixels(photo, 30, seed=0, space="srgb").min() > 0.99


def test_one_pixel_is_sampled_as_often_as_asked() -> None:
    assert sample_pixels(
        Photo(np.zeros((1, 1, 3), dtype=np.uint8)), 9, seed=0
    ).shape == (9, 3)


@pytest.mark.parametrize("n", [0, -3])
def test_no_samples_are_refused(n: int) -> None:
    with pytest.raises(DataError, match=f"n={n} pixels cannot be sampled"):
        sample_pixels(noise(), n, seed=0)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("rows", [1, 7, 100, 65_536])
def test_identity_gives_the_same_pixels(space: str, dtype: type, rows: int) -> None:
    photo = noise(9, 11, dtype)
    graded = grade(photo, unchanged, space, rows)
    assert graded.pixels.dtype == dtype
    assert largest_change(photo, graded) <= 1
    assert dtype != np.uint8 or largest_change(photo, graded) == 0
    assert graded.clipped_share == 0


def test_every_level_survives_the_identity() -> None:
    for space in SPACES:
        np.testing.assert_array_equal(
            grade(ramp(), unchanged, space).pixels, ramp().pixels
        )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grade_and_its_inverse(dtype: type) -> None:
    photo = Photo(
        (noise(dtype=dtype).pixels // 2 + np.iinfo(dtype).max // 4).astype(dtype)
    )
    moved = grade(photo, lambda points: points * 0.9 + 0.05, "srgb")
    back = grade(
        photo.with_pixels(moved.pixels), lambda points: (points - 0.05) / 0.9, "srgb"
    )
    assert largest_change(photo, moved) > 2
    assert largest_change(photo, back) <= 2  # a rounding each way


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blocks_leave_no_trace(dtype: type) -> None:
    photo = noise(13, 17, dtype)
    whole, pieces = (
        grade(photo, lambda points: 1 - points, "srgb", rows).pixels
        for rows in (10_000, 5)
    )
    np.testing.assert_array_equal(whole, pieces)


def test_move_gets_few_rows_at_a_time_and_each_colour_once() -> None:
    sizes = []

    def move(points: np.ndarray) -> np.ndarray:
        sizes.append(len(points))
        return points

    grade(Photo(np.tile(ramp().pixels, (4, 3, 1))), move, rows=100)
    assert max(sizes) <= 100
    assert sum(sizes) == 256
    sizes.clear()
    grade(ramp(np.uint16, 300), move, rows=100)
    assert max(sizes) <= 100
    assert sum(sizes) == 8 * 300


def test_clipped_pixels_are_counted() -> None:
    photo = Photo(np.full((4, 10, 3), 128, dtype=np.uint8))
    photo.pixels[:, :3] = 250
    graded = grade(photo, lambda points: points + 0.1, "srgb")
    assert graded.clipped_share == pytest.approx(0.3)
    assert (graded.pixels[:, :3] == 255).all()
    graded = grade(photo, lambda points: points - 0.6, "srgb")
    assert graded.clipped_share == pytest.approx(0.7)
    assert (graded.pixels[:, 3:] == 0).all()
    half = Photo(np.full((4, 10, 3), 255, dtype=np.uint8))
    assert grade(half, lambda points: points + 0.4 / 255, "srgb").clipped_share == 0


def test_transparent_pixels_do_not_count_as_clipped() -> None:
    alpha = np.zeros((4, 10), dtype=np.uint8)
    photo = Photo(np.full((4, 10, 3), 255, dtype=np.uint8), alpha)
    assert grade(photo, lambda points: points + 1, "srgb").clipped_share == 0
    alpha[0] = 9
    assert grade(photo, lambda points: points + 1, "srgb").clipped_share == 1


def test_one_pixel() -> None:
    photo = Photo(np.array([[[1, 2, 3]]], dtype=np.uint8))
    np.testing.assert_array_equal(grade(photo, unchanged).pixels, photo.pixels)


def test_maps_that_do_not_map_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"move returned shape \(256, 2\) for \(256, 3\)"
    ):
        grade(ramp(), lambda points: points[:, :2])
    with pytest.raises(
        DataError, match=r"non-finite values for 1 of 256 colours.*'srgb'"
    ):
        grade(ramp(), lambda points: np.where(points > 0.999, np.nan, points), "srgb")
    with pytest.raises(DataError, match="rows=0"):
        grade(ramp(), unchanged, rows=0)
    with pytest.raises(DataError, match="not a colour space"):
        grade(ramp(), unchanged, "hsv")


def test_a_grade_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        grade(ramp(), unchanged).clipped_share = 0.0  # type: ignore[misc]
