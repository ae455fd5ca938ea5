"""The augmentations that ship, for use inside one of your own. A config names them: `data.augment: [{name: flip}]`.

    # my_augmentations.py
    def nudged(images, random, most=1.1):
        images = harness.augmentations.scale(images, random, factor=(1 / most, most))
        return harness.augmentations.flip(images, random)

    harness.train("mnist", **{"data.augment": [{"name": "my_augmentations:nudged", "most": 1.2}]})

Each takes images (n, height, width, channels), pixels from 0 to 255, uint8 or float32, and a `random`: `random(k)`
gives (n, k) float32, uniform from 0 to below 1. It returns images of that shape. `mixup` and `cutmix` mix labels too,
and stand in a config's list alone.
"""

from harness.data.augment.colour import brightness, contrast, saturation
from harness.data.augment.erasing import cutout, random_erasing
from harness.data.augment.geometric import crop, flip, random_resized_crop, rotation, scale, shear, shift
from harness.data.augment.policies import rand_augment, trivial_augment

__all__ = [
    "brightness",
    "contrast",
    "crop",
    "cutout",
    "flip",
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
