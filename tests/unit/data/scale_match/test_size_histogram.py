"""Which objects have a size, and how sizes become a histogram and a map."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyscope.data.scale_match.histogram import (
    SizeHistogram,
    log_normal_histogram,
    size_histogram,
)
from tinyscope.data.scale_match.sampling import drawn_size, monotone_map
from tinyscope.data.scale_match.sizes import histogram_text, read_histogram, read_sizes
from tinyscope.errors import DataError

SIZES = st.lists(st.floats(0.5, 2000), min_size=1, max_size=60).map(np.array)
BINS = st.integers(3, 40)


@given(sizes=SIZES, bins=BINS, tails=st.sampled_from([None, 0.0, 0.1, 0.9]), log=st.booleans())
def test_a_histogram_of_any_sizes_holds_them_all(sizes, bins, tails, log):
    found = size_histogram(sizes, bins=bins, tails=tails, logarithmic=log)
    assert len(found.probabilities) == bins
    assert found.probabilities.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.edges[[0, -1]], [sizes.min(), sizes.max()], rtol=1e-9)


def test_tails_have_a_bin_each_and_the_middle_even_ones():
    found = size_histogram(np.array([1.0, 10, 12, 14, 16, 18, 20, 500]), bins=4, tails=0.25)
    assert found.edges.tolist() == [1, 10, 15, 20, 500]
    assert found.probabilities.tolist() == [1 / 8, 3 / 8, 3 / 8, 1 / 8]


def test_equal_sizes_have_a_histogram_of_that_size():
    found = size_histogram(np.full(50, 8.0))
    assert (found.edges == 8).all()
    assert drawn_size(found, np.random.default_rng(0).random) == 8


def test_a_published_mean_and_deviation_are_kept():
    found = log_normal_histogram(18.0, 17.4)
    shares = (np.arange(100_000) + 0.5) / 100_000
    sizes = found.quantiles(shares)
    assert sizes.mean() == pytest.approx(18.0, rel=0.01)
    assert sizes.std() == pytest.approx(17.4, rel=0.02)
    assert np.median(sizes) == pytest.approx(18 / (1 + (17.4 / 18) ** 2) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 2}, "bins must be at least 3"),
        ({"bins": 0, "tails": 0.0}, "bins must be at least 3, or 1 without tails, got 0"),
        ({"tails": 1.0}, "tails must be a share"),
    ],
)
def test_senseless_bins_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        size_histogram(np.array([3.0, 4.0]), **options)


def test_sizes_that_are_none_are_refused():
    with pytest.raises(ValueError, match="has no mass"):
        size_histogram(np.zeros(0))
    with pytest.raises(ValueError, match="sizes must be positive and finite, got 0"):
        size_histogram(np.array([3.0, 0.0]))
    with pytest.raises(ValueError, match="no objects to match"):
        monotone_map(np.zeros(0), size_histogram(np.array([3.0])))
    with pytest.raises(ValueError, match="mean and deviation of sizes must be positive, got 18"):
        log_normal_histogram(18.0, 0.0)


@pytest.mark.parametrize(
    ("shares", "edges", "message"),
    [
        ([0.5, 0.5], [1.0, 2.0], "one edge more than bins"),
        ([0.5, 0.5], [1.0, 3.0, 2.0], "ascending"),
        ([1.0], [0.0, 2.0], "positive"),
        ([1.5, -0.5], [1.0, 2.0, 3.0], "must not be negative"),
        ([0.5, 0.4], [1.0, 2.0, 3.0], "must add up to 1, got 0.9"),
    ],
)
def test_what_is_no_histogram_is_refused(shares, edges, message):
    with pytest.raises(ValueError, match=message):
        SizeHistogram(np.array(shares), np.array(edges))


def test_drawn_sizes_follow_the_histogram():
    histogram = SizeHistogram(np.array([0.25, 0.0, 0.75]), np.array([2.0, 4.0, 8.0, 16.0]))
    random = np.random.default_rng(3)
    drawn = np.array([drawn_size(histogram, random.random) for _ in range(4000)])
    assert drawn.min() >= 2
    assert drawn.max() <= 16
    assert (drawn < 4).mean() == pytest.approx(0.25, abs=0.03)
    assert not ((drawn > 4) & (drawn < 8)).any()
    assert drawn[drawn > 8].mean() == pytest.approx(12, abs=0.2)


@given(own=SIZES, wanted=SIZES, bins=BINS)
def test_a_monotone_map_keeps_the_order_and_stays_in_the_target(own, wanted, bins):
    size_map = monotone_map(own, size_histogram(wanted, bins=bins))
    query = np.sort(np.concatenate([own, [1e-3, 1e5]]))
    found = size_map(query)
    assert (np.diff(found) >= -1e-9).all()
    assert found[0] == pytest.approx(wanted.min())
    assert found[-1] <= wanted.max() * (1 + 1e-9)


def test_a_monotone_map_reaches_the_ends_and_no_further():
    own, wanted = np.linspace(20, 200, 1000), np.linspace(4, 40, 1000)
    size_map = monotone_map(own, size_histogram(wanted))
    assert size_map(np.array([1.0, 20.0, 200.0, 999.0])).tolist() == [4, 4, 40, 40]
    np.testing.assert_allclose(size_map(own), wanted, atol=0.5)


def test_a_set_mapped_to_itself_stays_as_it_is():
    sizes = np.random.default_rng(0).uniform(5, 50, 20_000)
    size_map = monotone_map(sizes, size_histogram(sizes))
    query = np.linspace(6, 49, 50)
    np.testing.assert_allclose(size_map(query), query, atol=0.5)


def coco_file(path, rows):
    """A COCO file of one image with rows of width, height and further keys."""
    annotations = [
        {"id": i, "image_id": 0, "category_id": 1, "bbox": [1, 1, w, h], **more}
        for i, (w, h, more) in enumerate(rows)
    ]
    content = {
        "images": [{"id": 0, "file_name": "a.jpg", "width": 100, "height": 100}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    path.write_text(json.dumps(content))
    return path


def test_only_objects_that_count_have_sizes(tmp_path):
    rows = [
        (4, 9, {}),
        (20, 20, {"ignore": True}),
        (30, 30, {"iscrowd": 1}),
        (40, 40, {"uncertain": True}),
        (50, 50, {"logo": True}),
    ]
    assert read_sizes(coco_file(tmp_path / "a.json", rows)).tolist() == [6]


def test_a_set_without_objects_is_refused(tmp_path):
    file = coco_file(tmp_path / "a.json", [(4, 9, {"ignore": 1})])
    with pytest.raises(DataError, match=r"a\.json: no objects to take sizes from"):
        read_histogram(file)


def test_a_written_histogram_is_read_as_it_was(tmp_path):
    histogram = size_histogram(np.arange(1.0, 400))
    (tmp_path / "h.json").write_text(histogram_text(histogram))
    found = read_histogram(tmp_path / "h.json")
    np.testing.assert_allclose(found.edges, histogram.edges, rtol=0)
    np.testing.assert_allclose(found.probabilities, histogram.probabilities, rtol=1e-12)


def test_a_histogram_of_counts_and_one_of_two_numbers_are_read(tmp_path):
    (tmp_path / "counts.json").write_text('{"edges": [2, 8, 20], "probabilities": [30, 10]}')
    assert read_histogram(tmp_path / "counts.json").probabilities.tolist() == [0.75, 0.25]
    (tmp_path / "two.json").write_text('{"mean": 18, "deviation": 17.4}')
    assert len(read_histogram(tmp_path / "two.json", bins=50).probabilities) == 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"edges": [2, 8, 20], "probabilities": [0, 0]}', "add up to nothing; there is no mass"),
        ('{"edges": [2, 8], "probabilities": [1, 2]}', "one edge more than bins"),
        ('{"edges": [2, 8]}', "the key 'probabilities' is missing"),
        ('{"edges": ["a", 8], "probabilities": [1]}', "could not convert"),
        ('{"edges": [2, 8], "probabilities": [NaN]}', "probabilities must be finite, got nan"),
        ('{"edges": [2, Infinity], "probabilities": [1]}', "edges must be finite, got inf"),
        ('{"edges": [2, 8], "probabilities": [null]}', "probabilities must be finite, got nan"),
        ('{"edges": [2, 8, 20], "probabilities": [-3, 1]}', "must not be negative, got -3"),
        ('{"mean": NaN, "deviation": 2}', "mean must be finite, got nan"),
        ('{"edges": [2, 8], "probabilities": [1], "bins": 3}', "unknown key 'bins' .a histogram"),
        ('{"edges": [2, 8], "probabilities": [1], "mean": 3}', "unknown key 'mean'"),
        ('{"edgs": [2, 8], "probabilites": [1]}', "unknown key 'edgs' .*did you mean edges"),
        ("{}", "the key 'mean' is missing .a histogram holds edges and probabilities or mean"),
        ('{"edges": 5, "probabilities": 1}', "a list of numbers"),
        ('{"mean": 18}', "the key 'deviation' is missing"),
        ('{"mean": -1, "deviation": 2}', "must be positive, got -1"),
        ('{"mean": [1, 2], "deviation": 2}', "one number"),
        ('{"other": 18}', "unknown key 'other' .a histogram holds .* data set images"),
        ('{"images": []}', "annotations"),
        ("[3]", "."),
        ("{", "."),
    ],
)
def test_a_file_that_holds_no_histogram_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "h.json").write_text(content)
    with pytest.raises(DataError, match=message) as refused:
        read_histogram(tmp_path / "h.json")
    assert "h.json" in str(refused.value)
