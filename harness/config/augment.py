"""An entry of `data.augment:`; its `name` decides which further keys there are."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from harness.config.section import OWN, OwnObject, Section, tag_of

Probability = Annotated[float, Field(gt=0, le=1)]


def _ascending(given: list[float]) -> list[float]:
    if given[0] > given[1]:
        raise ValueError("must be [least, most]")
    return given


Range = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
Shares = Annotated[
    list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2), AfterValidator(_ascending)
]


class Shift(Section):
    """For objects that may lie anywhere: `{name: shift, pixels: 2}`."""

    name: Literal["shift"]
    """Move the image, with zeros coming in."""
    pixels: int = Field(ge=1)
    """By up to so many in both directions, each offset as likely."""


class Flip(Section):
    """For classes that a mirror image doesn't change: `{name: flip}`."""

    name: Literal["flip"]
    """Turn left into right, or top into bottom."""
    direction: Literal["horizontal", "vertical"] = "horizontal"
    """`horizontal` swaps left and right."""
    probability: Probability = 0.5
    """The share of the images that are flipped."""


class Crop(Section):
    """Shifts by cutting out of a padded image: `{name: crop, padding: 4}`."""

    name: Literal["crop"]
    """Pad each side, and cut out an image of the old size at a place drawn at random."""
    padding: int = Field(default=4, ge=1)
    """Pixels on each side."""
    fill: Literal["zeros", "reflect"] = "zeros"
    """What is in the padding: nothing, or the image as in a mirror."""


class RandomResizedCrop(Section):
    """For objects of any size and place, of which a part may be seen: `{name: random_resized_crop}`."""

    name: Literal["random_resized_crop"]
    """Cut out a part of a random size, shape and place, and enlarge it to the image's size (Szegedy et al. 2015, arXiv
    1409.4842, §6)."""
    area: Shares = Field(default=[0.08, 1.0])
    """Its least and greatest share of the image."""
    ratio: Range = Field(default=[0.75, 4 / 3])
    """Its least and greatest width divided by height, drawn evenly in the logarithm."""


class Rotation(Section):
    """For objects that may be tilted: `{name: rotation, degrees: 15}`."""

    name: Literal["rotation"]
    """Turn the image about its middle, with zeros coming in."""
    degrees: float = Field(gt=0, le=180)
    """By up to so much, either way."""


class Scale(Section):
    """For objects that may be near or far: `{name: scale}`."""

    name: Literal["scale"]
    """Enlarge or shrink the image about its middle, with zeros coming in."""
    factor: Range = Field(default=[0.8, 1.25])
    """The least and the greatest factor, drawn evenly in the logarithm."""


class Shear(Section):
    """For objects that may be slanted, such as handwriting: `{name: shear, degrees: 10}`."""

    name: Literal["shear"]
    """Move each row sideways in proportion to its distance from the middle, with zeros coming in."""
    degrees: float = Field(gt=0, lt=90)
    """By which vertical lines are tilted at most, either way."""


class Brightness(Section):
    """For pictures taken in more light or less: `{name: brightness, strength: 0.4}`."""

    name: Literal["brightness"]
    """Multiply the pixels by a factor."""
    strength: float = Field(gt=0, le=1)
    """The factor is between 1 - strength and 1 + strength."""


class Contrast(Section):
    """For pictures with more contrast or less: `{name: contrast, strength: 0.4}`."""

    name: Literal["contrast"]
    """Multiply the pixels' distances from the image's mean grey by a factor."""
    strength: float = Field(gt=0, le=1)
    """The factor is between 1 - strength and 1 + strength."""


class Saturation(Section):
    """For pictures with stronger colours or weaker: `{name: saturation, strength: 0.4}`."""

    name: Literal["saturation"]
    """Multiply the pixels' distances from their own grey by a factor; for images of three channels."""
    strength: float = Field(gt=0, le=1)
    """The factor is between 1 - strength and 1 + strength."""


class Cutout(Section):
    """For objects of which a part may be hidden: `{name: cutout, size: 8}`."""

    name: Literal["cutout"]
    """Blacken a square whose middle is anywhere in the image (DeVries, Taylor 2017, arXiv 1708.04552)."""
    size: int = Field(ge=1)
    """Its side in pixels; what lies outside of the image is lost."""


class RandomErasing(Section):
    """For objects of which a part may be hidden, large or small: `{name: random_erasing}`."""

    name: Literal["random_erasing"]
    """Fill a rectangle inside of the image with noise (Zhong et al. 2017, arXiv 1708.04896, algorithm 1)."""
    probability: Probability = 0.5
    """The share of the images that lose a part."""
    area: Shares = Field(default=[0.02, 0.4])
    """The least and greatest share of the image that is erased."""
    ratio: Range = Field(default=[0.3, 1 / 0.3])
    """Its least and greatest height divided by width, drawn evenly in the logarithm."""


class MixUp(Section):
    """Training on blends of two examples: `{name: mixup}`."""

    name: Literal["mixup"]
    """Blend the image and its label with those of another example (Zhang et al. 2018, arXiv 1710.09412)."""
    alpha: float = Field(default=0.2, gt=0)
    """The share λ of its own is drawn from Beta(alpha, alpha): 1 for any share alike, less for shares near 0 and 1."""
    probability: Probability = 1.0
    """The share of the images that are mixed."""


class CutMix(Section):
    """Training on images with a part of another example's in them: `{name: cutmix}`."""

    name: Literal["cutmix"]
    """Paste a rectangle of another example's image, and take as much of its label (Yun et al. 2019, arXiv
    1905.04899)."""
    alpha: float = Field(default=1.0, gt=0)
    """The share of the image that stays is drawn from Beta(alpha, alpha), before the image's border cuts the
    rectangle."""
    probability: Probability = 1.0
    """The share of the images that are mixed."""


class RandAugment(Section):
    """Many kinds of change with two numbers to tune: `{name: rand_augment}`."""

    name: Literal["rand_augment"]
    """A few operations, one after the other, each drawn from 14 (Cubuk et al. 2020, arXiv 1909.13719)."""
    operations: int = Field(default=2, ge=1, le=8)
    """How many."""
    magnitude: int = Field(default=9, ge=0, le=30)
    """How strong all of them are, of 30."""


class TrivialAugment(Section):
    """Many kinds of change with nothing to tune: `{name: trivial_augment}`."""

    name: Literal["trivial_augment"]
    """One operation drawn from 14, of a strength drawn too: the paper's "wide" (Müller, Hutter 2021, arXiv
    2103.10158)."""


class OwnAugmentation(OwnObject):
    """A function (images, random, **keywords) → images: see docs/extending.md."""


AugmentSection = Annotated[
    Annotated[Shift, Tag("shift")]
    | Annotated[Flip, Tag("flip")]
    | Annotated[Crop, Tag("crop")]
    | Annotated[RandomResizedCrop, Tag("random_resized_crop")]
    | Annotated[Rotation, Tag("rotation")]
    | Annotated[Scale, Tag("scale")]
    | Annotated[Shear, Tag("shear")]
    | Annotated[Brightness, Tag("brightness")]
    | Annotated[Contrast, Tag("contrast")]
    | Annotated[Saturation, Tag("saturation")]
    | Annotated[Cutout, Tag("cutout")]
    | Annotated[RandomErasing, Tag("random_erasing")]
    | Annotated[MixUp, Tag("mixup")]
    | Annotated[CutMix, Tag("cutmix")]
    | Annotated[RandAugment, Tag("rand_augment")]
    | Annotated[TrivialAugment, Tag("trivial_augment")]
    | Annotated[OwnAugmentation, Tag(OWN)],
    Discriminator(tag_of),
]
