"""The Jinja template of a self-contained page, as each package that writes one has it beside its code."""

import base64

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template


def page_template(package: str, *sharing: str) -> Template:
    """The package's page.html.jinja, with the filter `base64` for embedded pictures. Values are escaped, and one that
    is missing raises jinja2.UndefinedError. What it includes is looked for in its own package, then in those of which
    it is `sharing` the parts."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, "") for name in (package, *sharing)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template("page.html.jinja")
