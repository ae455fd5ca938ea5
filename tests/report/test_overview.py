from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data.images import RowNumbers, Stored
from harness.data.sources import Split
from harness.insight.map_groups import mean_map
from harness.insight.saliency import METHODS
from harness.report.evaluated_model import EvaluatedModel, of_run
from harness.report.overview import Overview, overview
from harness.report.overview_figures import overview_section
from harness.runs.run_dir import RunDir

GRADIENT = METHODS["gradient"].explain


@pytest.fixture(scope="module")
def evaluated(unseen_run: RunDir) -> EvaluatedModel:
    return of_run(unseen_run, unseen_run.read_config())


@pytest.fixture(scope="module")
def found(evaluated: EvaluatedModel) -> Overview:
    return overview(evaluated, "gradient", GRADIENT, seed=0)


def test_every_mistake_is_in_one_cluster_and_the_confusions_count_them(
    evaluated: EvaluatedModel, found: Overview
) -> None:
    wrong = np.flatnonzero(evaluated.labels != evaluated.predicted)
    assert 5 < len(wrong) == found.explained["mistakes"]
    assert sorted(row for cluster in found.clusters for row in cluster.rows.tolist()) == wrong.tolist()
    most = found.confusions[0]
    of_pair = np.flatnonzero((evaluated.labels == most.true) & (evaluated.predicted == most.predicted))
    assert sorted(most.rows.tolist()) == of_pair.tolist()
    assert len(most.rows) == max(len(pair.rows) for pair in found.confusions)


def test_a_confusion_has_the_mean_maps_of_both_classes(evaluated: EvaluatedModel, found: Overview) -> None:
    pair = found.confusions[0]
    images = evaluated.images[pair.rows]
    for label, mean in ((pair.predicted, pair.for_predicted), (pair.true, pair.for_true)):
        expected = mean_map(GRADIENT(evaluated.logits, images, np.full(len(images), label)))
        np.testing.assert_allclose(mean.map, expected.map, rtol=1e-3, atol=1e-6)


def test_an_image_that_was_trained_on_is_its_own_nearest_neighbour(evaluated: EvaluatedModel, found: Overview) -> None:
    # The small run's test images are among its training images; those held back for validation are not.
    assert found.neighbours is not None
    assert evaluated.train is not None
    for row, rows in zip(found.neighbours.mistakes.tolist(), found.neighbours.found.rows.tolist(), strict=True):
        if row < len(evaluated.train):
            assert row in rows[:2]


def test_neighbours_are_sought_among_no_more_images_than_memory_bears(evaluated: EvaluatedModel) -> None:
    asked: list[int] = []

    def read(rows: RowNumbers) -> NDArray[np.uint8]:
        asked.append(len(rows))
        return np.zeros((len(rows), 28, 28, 1), np.uint8)

    large = Stored(read, range(20_000), (1024, 1024, 3))
    train = Split(large, np.zeros(len(large), np.int32))
    assert overview(replace(evaluated, train=train), "gradient", GRADIENT, seed=0).neighbours
    assert asked == [85]  # 256 MiB; 10,000 are 29 GiB


def test_empty_maps_are_told_and_in_no_mean(evaluated: EvaluatedModel) -> None:
    def silent_for_ones(logits: object, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        maps: np.ndarray = GRADIENT(logits, images, labels) * (labels != evaluated.predicted[0])[:, None, None]
        return maps

    found = overview(evaluated, "gradient", silent_for_ones, seed=0)
    assert found.empty["mistakes"] > 0
    section = overview_section(evaluated, found)
    assert f"{sum(found.empty.values())} of these maps are zero everywhere" in section.paragraphs[0]
    assert sum(len(cluster.rows) for cluster in found.clusters) == found.explained["mistakes"] - found.empty["mistakes"]


def test_a_model_without_mistakes_has_classes_alone(make_run: Callable[..., RunDir], tmp_path: Path) -> None:
    run = make_run(tmp_path, mistaken=False, count=30)
    flawless = of_run(run, run.read_config())
    found = overview(flawless, "gradient", GRADIENT, seed=0)
    assert found.clusters == ()
    assert found.confusions == ()
    assert found.neighbours is None
    assert [picture.name for picture in overview_section(flawless, found).pictures] == ["overview-classes"]


def test_the_section_shows_all_four(evaluated: EvaluatedModel, found: Overview) -> None:
    section = overview_section(evaluated, found)
    names = [picture.name.removeprefix("overview-") for picture in section.pictures]
    assert names == ["classes", "confusions", "clusters", "neighbours"]
    assert "No map is zero everywhere" in section.paragraphs[0]


def test_classes_are_called_by_their_names(evaluated: EvaluatedModel, found: Overview) -> None:
    names = ("Norwegian forest cat", "dog $x$", *(f"animal {number}" for number in range(2, 10)))
    named = overview_section(replace(evaluated, class_names=names), found)
    classes, confusions, clusters, neighbours = (picture.alt for picture in named.pictures)
    pair, label = found.confusions[0], next(iter(found.classes))
    assert f"classes {label} {names[label]}" in classes
    assert f"of {pair.true} {names[pair.true]} mistaken for {pair.predicted} {names[pair.predicted]}" in confusions
    (true, predicted), _ = found.clusters[0].pairs[0]
    assert f"{true} {names[true]} as {predicted} {names[predicted]}" in clusters
    assert all(words.split(" ", 1)[1] in names for words in neighbours.split(": ")[1].split("; ")[0].split(", "))
    for one, other in zip(named.pictures, overview_section(evaluated, found).pictures, strict=True):
        assert one.png != other.png, one.name
