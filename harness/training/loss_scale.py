"""Dynamic loss scaling, for gradients in float16 (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2).

The loss is multiplied by a power of two before the backward pass and each gradient divided by it after, which is exact
but for what would have been rounded to zero or infinity in between. A step whose reduced gradient is not finite changes
no weight and halves the factor; after 2,000 steps without one the factor is doubled. The optimizer counts such steps
all the same, so that learning rates go by the run's steps; Adam's first updates are a little smaller by it.
"""

import tensorflow as tf

INITIAL = 2.0**15
_LARGEST = 2.0**24
_PATIENCE = 2000


def after(held: list[tf.Tensor], finite: tf.Tensor, is_taken: tf.Tensor) -> list[tf.Tensor]:
    """The factor, () float32, and for how many steps it has held, () int64, after one more.

    Args:
        held: both before that step.
        finite: () bool, whether its gradient was.
        is_taken: () bool, whether the step counts at all.
    """
    scale, steps = held
    counted = tf.where(finite, steps + 1, tf.zeros_like(steps))
    grows = counted >= _PATIENCE
    increased = tf.where(grows, tf.minimum(scale * 2, _LARGEST), scale)
    scaled = [tf.where(finite, increased, tf.maximum(scale / 2, 1.0)), tf.where(grows, tf.zeros_like(counted), counted)]
    return [tf.where(is_taken, new, old) for new, old in zip(scaled, held, strict=True)]
