"""Augmentation: what is done to training images at random, each a function of (seed, place in the list, position).

    def mine(images, random, strength=0.2):
        return harness.augment.brightness(harness.augment.flip(images, random), random, strength)

    harness.train("mnist", augment=[{"name": "crop", "padding": 2}, mine])

Each is a function (images, random, **keywords) → images, as one of the user's own is:

    images   (n, height, width, channels), pixels from 0 to 255: uint8, until one of them makes them float32; always
             float32 for a function of the user's own
    random   `random(k)` gives (n, k) float32, uniform from 0 to below 1: to each example its own, others at each call

but `mixup` and `cutmix`, which take each image's partner too, (images, partners, random, **keywords), and give the
images and how much of each is its own.

So a batch, its micro-batches and its shares on several replicas are augmented alike, to the bit. All are computed where
the images are, and XLA can compile them: no dynamic shapes, no scatter.
"""

from harness.data.augment.chain import Augmentation, augmented, check, check_pixels
from harness.data.augment.colour import brightness, contrast, saturation
from harness.data.augment.erasing import cutout, random_erasing
from harness.data.augment.geometric import crop, flip, random_resized_crop, rotation, scale, shear, shift
from harness.data.augment.mixing import cutmix, mixup
from harness.data.augment.policies import rand_augment, trivial_augment

__all__ = [
    "Augmentation",
    "augmented",
    "brightness",
    "check",
    "check_pixels",
    "contrast",
    "crop",
    "cutmix",
    "cutout",
    "flip",
    "mixup",
    "rand_augment",
    "random_erasing",
    "random_resized_crop",
    "rotation",
    "saturation",
    "scale",
    "shear",
    "shift",
    "trivial_augment",
]
