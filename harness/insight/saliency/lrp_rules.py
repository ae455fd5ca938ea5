"""The rules of layer-wise relevance propagation, each a product of the inputs and a gradient.

Where a layer's function c(a) is linear in its inputs a and relevance R is given to its outputs, each input gets
Σ_k a_j ∂c_k/∂a_j s_k with s = R / c (Montavon et al. 2019, "Layer-Wise Relevance Propagation: An Overview", section
10.3.3).
"""

from collections.abc import Callable

import keras
import tensorflow as tf

Tensors = list[tf.Tensor]

_TINY = 1e-6
"""Of the outputs' root mean square: the ε of rules that have none."""
_LEAST = 1e-12
"""So that nothing is divided by 0 where all outputs are."""


class Linear:
    """A convolutional or dense layer without its activation, and with the batch normalization after it."""

    def __init__(self, layer: keras.layers.Layer, normalization: keras.layers.BatchNormalization | None) -> None:
        self._layer = layer
        self.kernel = tf.convert_to_tensor(layer.kernel)
        channels = layer.output.shape[-1]
        self.bias = tf.convert_to_tensor(layer.bias) if layer.use_bias else tf.zeros(channels)
        if normalization is not None:
            scale = tf.math.rsqrt(normalization.moving_variance + normalization.epsilon)
            if normalization.scale:
                scale *= normalization.gamma
            self.bias = (self.bias - normalization.moving_mean) * scale
            if normalization.center:
                self.bias += normalization.beta
            # Of a depthwise kernel the last two axes make the channels, of others the last.
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            self.kernel *= tf.reshape(scale, self.kernel.shape[2:]) if depthwise else scale

    def of(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """With another kernel, and without bias."""
        layer = self._layer
        if isinstance(layer, keras.layers.Dense):
            return tf.matmul(inputs, kernel)
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            return keras.ops.depthwise_conv(
                inputs, kernel, layer.strides, layer.padding, layer.data_format, layer.dilation_rate
            )
        return layer.convolution_op(inputs, kernel)


def epsilon_rule(linear: Linear, inputs: tf.Tensor, relevance: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """LRP-ε: R_j = Σ_k a_j w_jk / (z_k + ε sign(z_k)) R_k. Here ε is a share of the root mean square of an image's z.

    Args:
        inputs: a, (n, …).
        relevance: R_k, of the shape of the layer's outputs z.

    Returns:
        R_j, of the inputs' shape.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outputs = linear.of(inputs, linear.kernel) + linear.bias
    return inputs * tape.gradient(outputs, inputs, relevance / _away_from_zero(outputs, epsilon))


def gamma_rule(linear: Linear, inputs: tf.Tensor, relevance: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """With γ on what has the sign of the output: of inputs that aren't negative, on the positive weights."""
    excitatory, inhibitory = _signs(linear.kernel)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        above, below = _signs(inputs)
        positive = linear.of(above, excitatory) + linear.of(below, inhibitory) + tf.nn.relu(linear.bias)
        negative = linear.of(above, inhibitory) + linear.of(below, excitatory) - tf.nn.relu(-linear.bias)
        outputs = positive + negative
        raised = outputs + gamma * tf.where(outputs >= 0, positive, negative)
    return inputs * tape.gradient(raised, inputs, relevance / _away_from_zero(raised, _TINY))


def pixel_rule(linear: Linear, inputs: tf.Tensor, low: tf.Tensor, high: tf.Tensor, relevance: tf.Tensor) -> tf.Tensor:
    """z^B, for inputs between `low` and `high`; all three alike in shape."""
    excitatory, inhibitory = _signs(linear.kernel)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([inputs, low, high])
        outputs = linear.of(inputs, linear.kernel) - linear.of(low, excitatory) - linear.of(high, inhibitory)
    shares = relevance / _away_from_zero(outputs, _TINY)
    gradients = tape.gradient(outputs, [inputs, low, high], shares)
    return tf.add_n([value * gradient for value, gradient in zip([inputs, low, high], gradients, strict=True)])


def shared(function: Callable[[Tensors], tf.Tensor], inputs: Tensors, relevance: tf.Tensor) -> Tensors:
    """To each input what it adds to a function that is linear in them."""
    gradients = _backwards(function, inputs, lambda outputs: relevance / _away_from_zero(outputs, _TINY))
    return [value * gradient for value, gradient in zip(inputs, gradients, strict=True)]


def stepped(function: Callable[[Tensors], tf.Tensor], inputs: Tensors, relevance: tf.Tensor) -> Tensors:
    """To each input the relevance of the outputs that it is."""
    return _backwards(function, inputs, lambda outputs: relevance)


def _backwards(
    function: Callable[[Tensors], tf.Tensor], inputs: Tensors, upstream: Callable[[tf.Tensor], tf.Tensor]
) -> Tensors:
    inputs = [tf.identity(value) for value in inputs]  # one that comes twice gets two shares
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outputs = function(inputs)
    gradients: Tensors = tape.gradient(outputs, inputs, upstream(outputs))
    return gradients


def _signs(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What is positive of them, and what is negative."""
    return tf.nn.relu(values), -tf.nn.relu(-values)


def _away_from_zero(outputs: tf.Tensor, epsilon: tf.Tensor | float) -> tf.Tensor:
    """Plus ε with their sign, ε as a share of the root mean square of an image's outputs."""
    size = tf.sqrt(tf.reduce_mean(outputs**2, axis=range(1, len(outputs.shape)), keepdims=True))
    distance = epsilon * size + _LEAST
    return outputs + tf.where(outputs >= 0, distance, -distance)
