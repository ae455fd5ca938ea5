import numpy as np

from harness.insight.map_groups import clusters, empty, mean_map


def test_a_mean_map_weighs_every_image_alike_and_leaves_out_empty_ones() -> None:
    maps = np.zeros((3, 2, 2), np.float32)
    maps[0, 0, 0], maps[1, 1, 1] = 1, -100
    assert empty(maps).tolist() == [False, False, True]
    mean = mean_map(maps)
    assert mean.images == 2
    np.testing.assert_allclose(mean.map, [[0.5, 0], [0, 0.5]])


def test_of_empty_maps_alone_the_mean_is_empty() -> None:
    mean = mean_map(np.zeros((2, 3, 3), np.float32))
    assert mean.images == 0
    assert not mean.map.any()


def test_maps_that_light_up_the_same_pixels_are_of_one_cluster_the_largest_first() -> None:
    random = np.random.default_rng(0)
    maps = random.uniform(0, 0.1, (9, 4, 4)).astype(np.float32)
    places = [0, 1, 1, 0, 1, 2, 1, 0, 1]
    for number, corner in enumerate(places):
        maps[number, corner, corner] = 3 * (1 + number)  # how bright a map is does not matter
    maps = np.concatenate([maps, np.zeros((1, 4, 4), np.float32)])
    assert clusters(maps, 3).tolist() == [1, 0, 0, 1, 0, 2, 0, 1, 0, -1]


def test_one_map_is_a_cluster_and_none_is_none() -> None:
    assert clusters(np.ones((1, 2, 2), np.float32), 4).tolist() == [0]
    assert clusters(np.zeros((2, 2, 2), np.float32), 4).tolist() == [-1, -1]
