import keras
import numpy as np

from harness.insight.filters import first_kernels


def test_first_kernels(cnn: keras.Model) -> None:
    kernels = first_kernels(cnn)
    assert kernels.shape == (32, 3, 3, 1)
    assert kernels.dtype == np.float32
    np.testing.assert_array_equal(kernels[5, :, :, 0], cnn.get_layer("conv_1").get_weights()[0][:, :, 0, 5])
