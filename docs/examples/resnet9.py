"""ResNet-9, a network for CIFAR-10 that trains in seconds on one GPU.

cd docs/examples
harness train cifar10.yaml
"""

import keras
from keras import layers


def resnet9(
    image_shape: tuple[int, int, int], classes: int, width: int = 64, weight_decay: float = 5e-4, scale: float = 0.125
) -> keras.Model:
    """Eight convolutions, of which two pairs are residual, and a dense layer (Page 2018, "How to Train Your ResNet",
    and Coleman et al. 2017, DAWNBench): 6,573,120 parameters for CIFAR-10, from normalized pixels to logits.

    Args:
        image_shape: height, width and channels; three poolings halve the sides, and the last takes the maximum of all.
        classes: how many logits.
        width: channels of the first convolution; the last has eight times as many.
        weight_decay: λ of the gradient's λ·w, for kernels: half of it times the sum of squares is added to the loss.
        scale: of the logits, so that training begins near equal probabilities.
    """

    def convolved(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_regularizer=decay)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    decay = keras.regularizers.L2(weight_decay / 2)
    full = keras.config.dtype_policy().variable_dtype  # of the logits, where the other layers compute in bfloat16
    pixels = keras.Input(image_shape)
    x = convolved(pixels, width)
    for stage in (1, 2, 3):
        x = layers.MaxPooling2D(2)(convolved(x, width * 2**stage))
        if stage != 2:
            x = layers.Add()([x, convolved(convolved(x, width * 2**stage), width * 2**stage)])
    x = layers.GlobalMaxPooling2D()(x)
    x = layers.Dense(classes, use_bias=False, kernel_regularizer=decay, dtype=full)(x)
    return keras.Model(pixels, layers.Rescaling(scale, dtype=full)(x), name="resnet9")
