import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from harness.insight.neighbours import last_hidden, nearest


def test_the_nearest_in_the_last_hidden_layer_are_those_by_hand(cnn: keras.Model, images: NDArray[np.uint8]) -> None:
    part = last_hidden(cnn)
    assert part is not None
    among = np.random.default_rng(5).integers(0, 256, (20, 28, 28, 1), dtype=np.uint8)
    among[7] = images[2]
    found = nearest(part, images, among, 3)
    assert found.rows.shape == (6, 3)
    assert found.rows[2, 0] == 7
    dense = [layer for layer in cnn.layers if isinstance(layer, layers.Dense)][-1]
    hidden = keras.Model(cnn.inputs[0], dense.input)
    ours, theirs = (hidden.predict(of.astype(np.float32), verbose=0) for of in (images, among))
    for number, of_image in enumerate(ours):
        cosines = [other @ of_image / np.linalg.norm(other) / np.linalg.norm(of_image) for other in theirs]
        assert np.argsort(cosines)[::-1][:3].tolist() == found.rows[number].tolist()
        np.testing.assert_allclose(found.similarity[number], np.sort(cosines)[::-1][:3], rtol=1e-4)


def test_feature_maps_become_their_means_and_pixels_are_no_hidden_layer() -> None:
    image = keras.Input((6, 6, 1))
    convolutional = keras.Model(
        image, layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(layers.Conv2D(5, 3, activation="relu")(image)))
    )
    part = last_hidden(convolutional)
    assert part is not None
    assert part.output_shape == (None, 5)
    assert last_hidden(keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(image)))) is None
