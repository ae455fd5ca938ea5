"""ResNet-50 v1.5 for ImageNet.

cd docs/examples
harness train imagenet_resnet50.yaml
"""

from collections.abc import Sequence

import keras
from keras import layers


def resnet50(
    image_shape: tuple[int, int, int],
    classes: int,
    width: int = 64,
    blocks: Sequence[int] = (3, 4, 6, 3),
    weight_decay: float = 1e-4,
) -> keras.Model:
    """Bottleneck blocks (He et al. 2016, arXiv 1512.03385, table 1), with the stride in the 3×3 convolution, which is
    what v1.5 means: 25,557,032 trainable parameters for 1,000 classes, from normalized pixels to logits.

    The last scale of each block begins at zero (Goyal et al. 2017, arXiv 1706.02677, §5.1), and so each block as the
    identity. Padding is the same on both sides.

    Args:
        image_shape: height, width and channels; 224×224×3 in the paper.
        classes: how many logits.
        width: channels within the blocks of the first stage; each further one has twice as many, and half the side.
        blocks: how many in each stage.
        weight_decay: λ of the gradient's λ·w, for kernels: half of it times the sum of squares is added to the loss.
    """
    decay = keras.regularizers.L2(weight_decay / 2)

    def convolved(
        x: keras.KerasTensor, channels: int, kernel: int, strides: int = 1, gamma: str = "ones"
    ) -> keras.KerasTensor:
        x = layers.ZeroPadding2D(kernel // 2)(x) if kernel > 1 else x
        x = layers.Conv2D(
            channels, kernel, strides, use_bias=False, kernel_initializer="he_normal", kernel_regularizer=decay
        )(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma)(x)

    def block(x: keras.KerasTensor, channels: int, strides: int) -> keras.KerasTensor:
        y = layers.ReLU()(convolved(x, channels, 1))
        y = layers.ReLU()(convolved(y, channels, 3, strides))
        y = convolved(y, 4 * channels, 1, gamma="zeros")
        if strides > 1:  # every second pixel: what a 1×1 convolution with strides would take, which oneDNN can't
            x = layers.MaxPooling2D(1, strides)(x)
        if x.shape[-1] != 4 * channels:
            x = convolved(x, 4 * channels, 1)
        return layers.ReLU()(layers.Add()([x, y]))

    pixels = keras.Input(image_shape)
    x = layers.ReLU()(convolved(pixels, width, 7, 2))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # zeros are no more than what a ReLU gives
    for stage, count in enumerate(blocks):
        for number in range(count):
            x = block(x, width * 2**stage, strides=2 if stage and not number else 1)
    x = layers.GlobalAveragePooling2D()(x)
    normal = keras.initializers.RandomNormal(stddev=0.01)
    full = keras.config.dtype_policy().variable_dtype  # of the logits, where the other layers compute in bfloat16
    logits = layers.Dense(classes, kernel_initializer=normal, kernel_regularizer=decay, dtype=full)(x)
    return keras.Model(pixels, logits, name="resnet50")
