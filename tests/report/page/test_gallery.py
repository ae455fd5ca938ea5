import base64
import re

import numpy as np
from numpy.typing import NDArray

from harness.page import Page, Section, Verdict, render
from harness.report.explanation import Example, Explained
from harness.report.page.gallery import gallery, script_data
from harness.report.trust_section import QUESTIONS


def explained(values: NDArray[np.float32]) -> Explained:
    """One image, and the same map of it, (height, width), by a signed method and by an unsigned one."""
    says = np.array([0.9, 0.1], np.float32)
    image = np.zeros((*values.shape, 1), np.uint8)
    example = Example("test image 0", "correct", 0, image, 0, says, (0,))
    maps = {"integrated_gradients": ({0: values},), "gradient": ({0: np.abs(values)},)}
    return Explained((example,), maps, {})


def answers(of: Explained) -> dict[str, dict[str, Verdict]]:
    """A yes for the first method, a no for the second, to all questions."""
    verdicts = [Verdict("yes", good=True), Verdict("no", good=False)]
    return {name: dict.fromkeys(QUESTIONS, verdict) for name, verdict in zip(of.maps, verdicts, strict=True)}


def test_zero_has_a_byte_and_a_colour_of_its_own() -> None:
    data = script_data(explained(np.array([[-0.5, 0.0, 2.0]], np.float32)), {})
    of_method = data["examples"][0]["maps"]
    assert list(base64.b64decode(of_method["integrated_gradients"]["0"]["values"])) == [95, 127, 254]
    assert list(base64.b64decode(of_method["gradient"]["0"]["values"])) == [64, 0, 255]
    signed = np.frombuffer(base64.b64decode(data["colours"]["signed"]), np.uint8).reshape(-1, 3)
    assert len(signed) == 255
    assert len(set(signed[127].tolist())) == 1


def test_a_shared_scale_is_never_of_nothing() -> None:
    values = np.zeros((20, 20), np.float32)
    values[0, 0] = 0.25
    method = script_data(explained(values), {})["methods"]["gradient"]
    assert method == {"signed": False, "raw": 0.25, "shared": 0.25}


def test_the_outline_runs_between_dark_and_bright_pixels() -> None:
    found = explained(np.zeros((3, 3), np.float32))
    image = found.examples[0].image
    assert gallery(found, answers(found)).examples[0].outline.path == ""
    image[1, 1] = 255
    row = gallery(found, answers(found)).examples[0]
    assert row.outline.path == "M1 1h1M1 2h1M1 1v1M2 1v1"
    assert (row.outline.width, row.outline.height) == (3, 3)


def test_a_method_says_what_its_maps_show() -> None:
    found = explained(np.zeros((3, 3), np.float32))
    columns = gallery(found, answers(found)).methods
    assert [column.signed for column in columns] == [True, False]
    assert all(column.note[0].isupper() for column in columns)


def test_a_method_has_an_answer_to_each_question() -> None:
    found = explained(np.ones((3, 3), np.float32))
    told = [dict(column.answers) for column in gallery(found, answers(found)).methods]
    assert [set(of) for of in told] == 2 * [{"weights", "faithful", "stable", "class"}]
    assert [{answer.words for answer in of.values()} for of in told] == [{"yes"}, {"no"}]


def test_a_map_that_is_zero_everywhere_is_flagged_and_counted_whatever_its_method() -> None:
    one = explained(np.ones((3, 3), np.float32))
    maps = {**one.maps, "gradient": ({0: np.zeros((3, 3), np.float32)},)}
    found = gallery(Explained(one.examples, maps, {}), answers(one))
    assert [column.empty for column in found.methods] == ["", "1 of 1 maps all zero"]
    assert [target.empty for target in found.examples[0].targets] == [["gradient"]]
    page = render(Page("", [Section("Maps", parts=[found])]), "harness.report.page", "report.html.jinja")
    of_zeros, other = (
        re.search(f'"({method} map for class 0[^"]*test image 0)', page) for method in ("Gradient", "Integrated")
    )
    assert of_zeros
    assert "zero everywhere" in of_zeros[1]
    assert other
    assert "zero" not in other[1]
    assert page.count("all zero</span>") == 2
