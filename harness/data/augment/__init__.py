"""Augmentation: what is done to training images at random, each a function of (seed, place in the list, position).

Each is a function (images, random, **keywords) → images, as one of the user's own is:

    images: (n, height, width, channels), pixels from 0 to 255: uint8, until one of them makes them float32.
    random: a `harness.data.random.Random`. `random(k)` gives (n, k) float32, uniform from 0 to below 1: to each example
        its own, and others at each call.

So a batch, its micro-batches and its shares on several replicas are augmented alike, to the bit. All are computed where
the images are, and XLA can compile them: no dynamic shapes, no scatter.
"""

from harness.data.augment.chain import Augmentation, augmented, check

__all__ = ["Augmentation", "augmented", "check"]
