"""Which files are read as pictures, by the names that Pillow has for their formats: not EPS, above all, for which it
starts Ghostscript."""

from collections.abc import Mapping

DATA: Mapping[str, tuple[str, ...]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
}
"""Those of a data set's images, and how the files' names end."""
OWN: Mapping[str, tuple[str, ...]] = {
    **DATA,
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm"),
    "AVIF": (".avif",),
}
"""Those of pictures that a trained model is shown. AVIF last, at which a Pillow before 11.3 gives up."""


def suffixes(formats: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """How the names of such files end, in small letters."""
    return tuple(suffix for of_format in formats.values() for suffix in of_format)
