"""What pydantic finds wrong with a config, in one line that names the key, the value and the limit."""

import re
from typing import Any

from pydantic import ValidationError

from harness.config.config import Config
from harness.config.keys import keys, keys_at, models_at, name_of, names_with_key
from harness.config.section import did_you_mean
from harness.config.yaml_text import described


def first_mistake(error: ValidationError, kind: type[Config]) -> str:
    """The first mistake in a config of that kind, and how many more there are: `seed: must be an integer, got 'x'`."""
    # What lacks a key is often no more than misspelt: the key that is there says it.
    problems = sorted(error.errors(include_url=False), key=lambda each: each["type"] == "missing")
    first = problems[0]
    location = [str(part) for part in first["loc"]]
    rest = len(problems) - 1
    depth = next((depth for section, depth in _TAGS.items() if location[: len(section)] == [*section]), len(location))
    del location[depth : depth + 1]
    is_of_wrong_type = first["type"].endswith(("_type", "literal_error")) and first["type"] != "model_type"
    if is_of_wrong_type and _is_one_of_several_types(first, kind):
        location.pop()
        several = [problem for problem in problems if problem["loc"][:-1] == first["loc"][:-1]]
        problem = f"must be {' or '.join(map(_expected, several))}, got {described(first['input'])}"
        rest -= len(several) - 1
    else:
        problem = _problem(first, kind)
    more = f" (and {rest} more)" if rest else ""
    key = ".".join(location)
    if first["type"] != "invalid_key":
        key = re.sub(r"\.(\d+)(?![^.])", r"[\1]", key)  # a place in a list
    return f"{key}: {problem}{more}".removeprefix(": ")


_TAGS = {("optimizer",): 1, ("loss",): 1, ("metrics",): 2, ("callbacks",): 2, ("data", "augment"): 3}
"""Where pydantic puts which section of several it took one for, which is no key of the file."""


def _is_one_of_several_types(error: Any, kind: type[Config]) -> bool:
    """Whether pydantic tells this of one of the types that a key takes, and has put that type behind the key."""
    last = error["loc"][-1]
    return isinstance(last, str) and last not in keys_at([str(part) for part in error["loc"][:-1]], kind)


def _expected(error: Any) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"]).replace("'", "")
    return _WORDS[error["type"]].removeprefix("must be ")


def _problem(error: Any, config: type[Config]) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    location = [str(part) for part in error["loc"]]
    if kind == "missing" and location == ["scale"]:
        return "the key is missing, which says what is varied: see docs/scaling.md, or run mnist_scaling_quick"
    if kind == "missing":
        return "the key is missing"
    if kind == "extra_forbidden" and location == ["scale"]:
        return "that section makes it an experiment: harness scale run CONFIG"
    if kind == "extra_forbidden":
        here, key = keys_at(location[:-1], config), location[-1]
        if names := names_with_key(location, config):
            section, name = ".".join(part for part in location[:-2] if not part.isdigit()), location[-2]
            return f"unknown key for {name}; known: {', '.join(here)}; it goes with {section}.name={' or '.join(names)}"
        near = here if len(location) > 1 else [*here, *keys()]
        return f"unknown key{did_you_mean(key, near) or '; known: ' + ', '.join(here)}"
    if kind == "literal_error":
        names = re.findall(r"'([^']+)'", context["expected"]) or re.findall(r"\d+", context["expected"])
        return f"{given!r} is not one of {', '.join(names)}{did_you_mean(str(given), names)}"
    if kind == "union_tag_invalid":
        names = re.findall(r"'([^']+)'", context["expected_tags"])
        return f"name {context['tag']!r} is not one of {', '.join(names)}{did_you_mean(context['tag'], names)}"
    if kind == "union_tag_not_found" and isinstance(given, dict):
        names = [name_of(model) for model in models_at(location, config)]
        return f"the key 'name' is missing: one of {', '.join(names)}"
    if kind in ("model_type", "union_tag_not_found"):
        some = ", ".join(keys_at(location, config)[:2])
        return f"expected a section with keys ({some}, …), got {described(given)}"
    limits = {
        name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for name, limit in context.items()
    }
    message = str(context["error"]) if kind == "value_error" else _WORDS.get(kind, error["msg"]).format_map(limits)
    return message if isinstance(given, dict) else _with_value(message, given)


def _with_value(message: str, given: object) -> str:
    said, hint, name = message.partition("; did you mean")
    return f"{said}, got {described(given)}{hint}{name}"


_WORDS = {
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must hold keys and values, such as {{a: 1}}",
    "invalid_key": "a key must be text",
    "finite_number": "must be finite",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "string_too_short": "must hold {min_length} characters or more",
    "too_short": "must hold {min_length} or more",
}
"""What is wrong with a value, by pydantic's name for it."""
