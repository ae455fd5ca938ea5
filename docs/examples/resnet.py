"""A small ResNet of one's own, with BatchNormalization and Dropout, using only the key `model`.

cd docs/examples
harness train resnet.yaml
"""

import keras
from keras import layers


def resnet(image_shape: tuple[int, int, int], classes: int, width: int = 16, blocks: int = 1) -> keras.Model:
    """Three stages of residual blocks (He et al. 2016, arXiv 1512.03385), from pixels to logits.

    Args:
        image_shape: height, width and channels of the data's images.
        classes: how many logits.
        width: channels of the first stage; each further one has twice as many, and half the side.
        blocks: residual blocks a stage.
    """
    pixels = keras.Input(image_shape)
    x = layers.Rescaling(1 / 255)(pixels)
    x = _normalized(layers.Conv2D(width, 3, padding="same", use_bias=False)(x))
    for stage in range(3):
        for block in range(blocks):
            x = _residual(x, width * 2**stage, strides=2 if stage and not block else 1)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, layers.Dense(classes)(x), name="resnet")


def _residual(x: keras.KerasTensor, width: int, strides: int) -> keras.KerasTensor:
    y = _normalized(layers.Conv2D(width, 3, strides, padding="same", use_bias=False)(x))
    y = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(width, 3, padding="same", use_bias=False)(y))
    if x.shape != y.shape:  # pooled before its convolution, as in He et al. 2019, arXiv 1812.01187, figure 2c
        x = layers.AveragePooling2D(strides, padding="same")(x)
        x = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(width, 1, use_bias=False)(x))
    return layers.ReLU()(layers.Add()([x, y]))


def _normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
