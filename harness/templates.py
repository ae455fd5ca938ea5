"""The Jinja template of a self-contained page, as each package that writes one has it beside its code."""

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def page_template(package: str) -> Template:
    """The package's page.html.jinja, with the filter `base64` for embedded pictures. Values are escaped, and one that
    is missing raises jinja2.UndefinedError."""
    environment = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template("page.html.jinja")
