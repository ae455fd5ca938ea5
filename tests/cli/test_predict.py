"""`harness predict`: classes of image files."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import harness
from harness.config import resolve
from harness.config.data import Resize
from harness.data import own_images
from harness.data.files.decode import Decoding, decode
from harness.errors import DataError
from harness.models.export import export, load
from harness.predict import of_run, predictions
from harness.runs.run_dir import RunDir
from tests.conftest import Result

SHAPE = (8, 8, 3)


def model_of(shape: tuple[int | None, int | None, int] = SHAPE, classes: int = 5) -> keras.Model:
    """Logits that depend on where in the image it is bright, and in which colour; for any size on that alone."""
    inputs = keras.Input(shape)
    keras.utils.set_random_seed(1)
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    if None in shape:
        scaled = keras.layers.GlobalAveragePooling2D()(scaled)
    return keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.Flatten()(scaled)))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunDir]:
    """A completed run with that model of logits."""

    def make(
        model: keras.Model, is_binary: bool = False, names: tuple[str, ...] = (), changes: Sequence[str] = ()
    ) -> RunDir:
        run = RunDir(tmp_path / "run")
        run.lock()
        run.begin(resolve({}, changes))
        run.write_class_names(names)
        export(model, run.model_file, is_binary)
        run.write_summary({"status": "completed"})
        run.unlock()
        return run

    return make


def picture(seed: int = 0, size: tuple[int, int] = (8, 8)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def told(call: Callable[..., Any], *arguments: object) -> list[dict[str, Any]]:
    shown = call("predict", *arguments, "--json")
    assert shown.exit_code == 0, shown.stderr
    files: list[dict[str, Any]] = json.loads(shown.stdout)
    return files


def expected(run: RunDir, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    probabilities: NDArray[np.float32] = load(run.model_file).predict_on_batch(pixels[None].astype(np.float32))[0]
    return probabilities


def test_the_likeliest_classes_of_a_file_with_their_probabilities(
    call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path
) -> None:
    run = make_run(model_of())
    paths = [tmp_path / f"my.{form}" for form in ("png", "webp", "bmp", "tiff")]
    for number, path in enumerate(paths):
        with path.open("wb") as file:
            Image.fromarray(picture(number)).save(file, path.suffix[1:].upper(), lossless=True)
        path.rename(path.with_suffix(".picture" + path.suffix[1:]))  # its content tells what it is
    paths = [path.with_suffix(".picture" + path.suffix[1:]) for path in paths]
    for number, found in enumerate(told(call, run.path, *paths, "--top", 2)):
        probabilities = expected(run, picture(number))
        best = np.argsort(-probabilities)[:2]
        ranks = found["predictions"]
        assert found["path"] == str(paths[number])
        assert [rank["class"] for rank in ranks] == best.tolist()
        assert [rank["name"] for rank in ranks] == [None, None]
        np.testing.assert_allclose([rank["probability"] for rank in ranks], probabilities[best], rtol=1e-5)


FORMS = [("JPEG", "RGB"), ("JPEG", "L"), ("GIF", "P"), ("PNG", "RGBA"), ("PNG", "1")]


def test_any_size_colour_and_direction_is_brought_to_what_the_model_takes(
    call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path
) -> None:
    """Left half dark, right half bright, wider than high, lying on its side; of fewer classes than asked for, all."""
    run = make_run(model_of())
    wide = np.zeros((64, 120, 3), np.uint8)
    wide[:, 60:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    paths = [tmp_path / f"{form}-{mode}.img" for form, mode in FORMS]
    for path, (form, mode) in zip(paths, FORMS, strict=True):
        lying = Image.fromarray(np.rot90(wide).copy()).convert(mode)
        lying.save(path, form, **({} if form == "GIF" else {"exif": exif}))
    for found, (form, mode) in zip(told(call, run.path, *paths, "--top", 99), FORMS, strict=True):
        upright = Image.fromarray(np.rot90(wide).copy() if form == "GIF" else wide)  # which has no EXIF data
        upright.save(tmp_path / "upright.png")
        probabilities = expected(run, *own_images.read([tmp_path / "upright.png"], SHAPE))
        shares = {rank["class"]: rank["probability"] for rank in found["predictions"]}
        assert len(found["predictions"]) == 5
        assert sum(shares.values()) == pytest.approx(1)
        tolerance = 0.05 if form == "JPEG" else 1e-6
        actual = [shares[label] for label in range(5)]
        np.testing.assert_allclose(actual, probabilities, atol=tolerance, err_msg=f"{form} {mode}")


def test_folders_are_walked_and_a_table_names_the_classes(
    call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path
) -> None:
    run = make_run(model_of(), names=("ant", "bee", "cat", "dog", "elk"))
    inner = tmp_path / "photos" / "b"
    inner.mkdir(parents=True)
    files = [tmp_path / "photos" / "a.JPG", inner / "c.png", tmp_path / "photos" / "d.gif"]
    for number, file in enumerate(files):
        Image.fromarray(picture(number)).save(file, {".JPG": "JPEG"}.get(file.suffix))
    for other in (tmp_path / "photos" / "notes.txt", tmp_path / "photos" / ".hidden.png", inner / "Thumbs.db"):
        other.write_text("no picture")
    shown = call("predict", run.path, tmp_path / "photos", "--top", 1)
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert [line[0] for line in lines] == list(map(str, files))
    names = [rank["name"] for found in told(call, run.path, tmp_path / "photos") for rank in found["predictions"][:1]]
    assert [line[1] for line in lines] == names
    assert set(names) <= {"ant", "bee", "cat", "dog", "elk"}


def test_a_model_of_one_sigmoid_tells_two_classes(
    call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path
) -> None:
    run = make_run(model_of(classes=1), is_binary=True)
    Image.fromarray(picture()).save(tmp_path / "my.png")
    (found,) = told(call, run.path, tmp_path / "my.png")
    shares = {rank["class"]: rank["probability"] for rank in found["predictions"]}
    (of_1,) = expected(run, picture())
    assert shares == {0: pytest.approx(1 - of_1), 1: pytest.approx(of_1)}


def test_a_model_of_images_of_any_size_gets_those_that_it_was_trained_on(
    call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path
) -> None:
    run = make_run(model_of((None, None, 1)))
    Image.fromarray(picture(size=(28, 28))).convert("L").save(tmp_path / "my.png")
    (found,) = told(call, run.path, tmp_path / "my.png", "--top", 1)
    with Image.open(tmp_path / "my.png") as file:
        grey = np.asarray(file)[..., None]
    assert found["predictions"][0]["probability"] == pytest.approx(expected(run, grey).max(), rel=1e-5)


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_files_are_seen_as_training_has_seen_them(
    call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path, resize: Resize
) -> None:
    """A JPEG of several times the size, which decoding reduces in steps, to the bit as in the cache of a folder."""
    file = tmp_path / "photos" / "ant" / "1.jpg"
    file.parent.mkdir(parents=True)
    Image.fromarray(np.kron(picture(size=(9, 14)), np.ones((10, 10, 1), np.uint8))).save(file)
    run = make_run(model_of(), changes=[f"data.resize={resize}"])
    (found,) = told(call, run.path, tmp_path / "photos", "--top", 1)
    as_trained = decode(str(file), Decoding(SHAPE[:2], resize, 3))
    assert found["predictions"][0]["probability"] == pytest.approx(expected(run, as_trained).max(), rel=1e-6)


class Counted(keras.layers.Layer):  # type: ignore[misc]
    """Counts how often Python runs it: once a trace."""

    calls = 0

    def call(self, inputs: Any) -> Any:
        Counted.calls += 1
        return inputs


def test_any_number_of_pictures_is_one_trace() -> None:
    inputs = keras.Input(SHAPE)
    outputs = keras.layers.Softmax()(Counted()(keras.layers.GlobalAveragePooling2D()(inputs)))
    model = keras.Model(inputs, outputs)
    before = Counted.calls
    found = list(predictions(model, [(Path(str(seed)), picture(seed)) for seed in range(70)], SHAPE, top=1))
    assert [of.path.name for of in found] == list(map(str, range(70)))
    assert Counted.calls == before + 1
    for seed, of in enumerate(found):
        assert of.ranks[0].label == picture(seed).mean(axis=(0, 1)).argmax()


def test_a_file_that_cant_be_read_is_told_and_the_others_are_still_predicted(
    call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path
) -> None:
    run = make_run(model_of())
    for name in ("a.png", "c.png"):
        Image.fromarray(picture()).save(tmp_path / name)
    whole = (tmp_path / "a.png").read_bytes()
    for name in ("b.png", "d.png"):  # one of them the last
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "aa.png").write_text("no picture")
    shown = call("predict", run.path, *sorted(tmp_path.glob("*.png")), "--json")
    assert shown.exit_code == 1
    assert [Path(found["path"]).name for found in json.loads(shown.stdout)] == ["a.png", "c.png"]
    for name, line in zip(("aa.png", "b.png", "d.png"), shown.stderr.splitlines(), strict=True):
        assert name in line
    with pytest.raises(DataError):
        list(of_run(run, [tmp_path / "aa.png"]))


@pytest.mark.parametrize("scale", ["null", "[0, 1000]"])
def test_16_bits_are_scaled_as_the_run_has_it_or_refused(
    call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path, scale: str
) -> None:
    run = make_run(model_of(), changes=[f"data.scale={scale}"])
    Image.fromarray(np.full((8, 8), 200, np.uint16)).save(tmp_path / "deep.png")
    if scale == "null":
        shown = call("predict", run.path, tmp_path / "deep.png")
        assert (shown.exit_code, shown.stderr.count("\n")) == (1, 1)
        assert "deep.png has 16 bits a channel" in shown.stderr
        return
    (found,) = told(call, run.path, tmp_path / "deep.png", "--top", 5)
    probabilities = expected(run, np.full(SHAPE, 51, np.uint8))
    shares = {rank["class"]: rank["probability"] for rank in found["predictions"]}
    np.testing.assert_allclose([shares[label] for label in range(5)], probabilities, rtol=1e-5)


def test_where_none_can_be_read_the_list_is_empty(
    call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path
) -> None:
    run = make_run(model_of())
    (tmp_path / "a.png").write_text("no picture")
    shown = call("predict", run.path, tmp_path / "a.png", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)) == (1, [])


def test_bad_input_is_one_line(call: Callable[..., Result], make_run: Callable[..., RunDir], tmp_path: Path) -> None:
    run = make_run(model_of((8, 8, 2)))
    (tmp_path / "empty").mkdir()
    Image.fromarray(picture()).save(tmp_path / "a.png")
    for arguments, words in (
        ([run.path], "Missing argument"),
        ([run.path, tmp_path / "none.png"], "none.png"),
        ([run.path, tmp_path / "empty"], "no picture in"),
        ([run.path, tmp_path / "a.png", "--top", "0"], "0 is not in the range"),
        ([run.path, tmp_path / "a.png"], "takes images of 2 channels"),
        ([tmp_path / "empty", tmp_path / "a.png"], "empty"),
    ):
        refused = call("predict", *arguments)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr.count("\n") == 1
        assert words in refused.stderr
    run.classes_file.write_text("{}")
    assert "classes.json" in call("predict", run.path, tmp_path / "a.png").stderr


@pytest.mark.slow
def test_a_run_knows_the_names_of_its_classes_without_its_data(call: Callable[..., Result], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (24, 28, 28, 1), dtype=np.uint8)
    labels = np.array(["owl", "ant"] * 12)
    np.savez(tmp_path / "data.npz", x_train=images[:16], y_train=labels[:16], x_test=images[16:], y_test=labels[16:])
    changes: dict[str, Any] = {
        "data.source": str(tmp_path / "data.npz"),
        "data.validation": 0,
        "train.length": "1 steps",
    }
    run = harness.train({"schedule": {"name": "constant"}}, tmp_path / "run", quiet=True, with_report=False, **changes)
    assert run is not None
    (tmp_path / "data.npz").unlink()
    Image.fromarray(images[0, ..., 0]).save(tmp_path / "my.png")
    (found,) = told(call, run.path, tmp_path / "my.png")
    assert {(rank["class"], rank["name"]) for rank in found["predictions"]} == {(0, "ant"), (1, "owl")}


@pytest.mark.slow
def test_a_trained_run_says_of_files_what_it_says_of_the_same_test_images(
    call: Callable[..., Result], completed_run: tuple[Path, Result], small_data: Path, tmp_path: Path
) -> None:
    with np.load(small_data) as file:
        images = file["x_test"][:40]
    for row, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{row:02}.png")
    run = RunDir(completed_run[0])
    found = told(call, run.path, tmp_path)
    says = load(run.model_file).predict_on_batch(images[..., None].astype(np.float32))
    assert [of["predictions"][0]["class"] for of in found] == says.argmax(axis=1).tolist()
    np.testing.assert_allclose([of["predictions"][0]["probability"] for of in found], says.max(axis=1), rtol=1e-4)
