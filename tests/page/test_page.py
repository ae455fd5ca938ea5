from typing import Any, ClassVar

import pytest
from jinja2 import UndefinedError

from harness.page import FoldedConfig, Headline, Page, Picture, Row, Section, Table, Verdict, render


def html(*sections: Section, **what: Any) -> str:
    return render(Page("A title", sections, **what))


def test_a_page_is_its_title_its_findings_and_a_link_to_each_section() -> None:
    text = html(
        Section("What differs", ["First.", "Second."]),
        subtitle="About this",
        about=[("seed", "7")],
        sentence="A is better.",
        headlines=[Headline("steps", "300", "95%: 250 to 360"), Headline("rate", "0.1")],
        warnings=["Too few."],
    )
    assert "<title>A title</title>" in text
    assert "<h1>A title</h1>\n<p>About this</p>" in text
    assert "<div><dt>seed</dt><dd>7</dd></div>" in text
    assert '<p class="sentence">A is better.</p>' in text
    assert '<dt>steps</dt><dd>300</dd><dd class="detail">95%: 250 to 360</dd>' in text
    assert "<dt>rate</dt><dd>0.1</dd></div>" in text
    assert "<li>Too few.</li>" in text
    assert '<a href="#what-differs">What differs</a>' in text
    assert '<h2 id="what-differs">What differs</h2>\n<p class="intro">First.</p>\n<p class="intro">Second.</p>' in text


def test_what_a_page_does_not_have_is_not_there() -> None:
    text = html(Section("Alone")).partition("<body>")[2]
    for absent in ("about", "sentence", "headlines", "warnings", "intro", "<script", "<figure", "<table"):
        assert absent not in text


def test_all_text_is_escaped() -> None:
    bad = "</pre></style><script>x"
    text = html(
        Section(
            bad,
            [bad],
            [Table(bad, [bad], [Row([bad, Verdict(bad, good=None)])], [bad])],
            parts=[FoldedConfig(bad, bad, bad)],
        ),
        subtitle=bad,
        about=[(bad, bad)],
        sentence=bad,
        headlines=[Headline(bad, bad, bad)],
        warnings=[bad],
    )
    assert "<script>" not in text
    assert text.count("</pre>") == 1


def test_an_svg_is_shown_in_place_of_the_png_and_a_title_in_a_picture_is_not_said_twice() -> None:
    plot = Picture("steps", "Steps to target", "c", "alt", b"png", svg=b"<svg/>", titled=True)
    text = html(Section("Plots", pictures=[plot]))
    assert '<img src="data:image/svg+xml;base64,PHN2Zy8+" alt="alt">' in text
    assert "image/png" not in text
    assert "<h3>" not in text
    assert "<h3>Steps</h3>" in html(Section("Plots", pictures=[Picture("steps", "Steps", "c", "alt", b"png")]))


def test_a_part_that_lacks_what_its_template_asks_for_is_an_error() -> None:
    class Broken:
        template: ClassVar[str] = "config.html.jinja"

    with pytest.raises(UndefinedError, match="command"):
        html(Section("Config", parts=[Broken()]))


def test_folded_pictures_are_behind_their_titles() -> None:
    pictures = [Picture(f"features-{n}", f"Class {n}", "words", "alt", b"png") for n in range(2)]
    text = html(Section("Feature maps", ["intro"], pictures=pictures, folded=True))
    assert '<details class="folded" open>\n<summary>Class 0' in text
    assert '<details class="folded">\n<summary>Class 1' in text


def test_a_verdict_is_a_word_and_a_shape() -> None:
    def cell(verdict: Verdict) -> str:
        rows = [Row(["Gradient", verdict])]
        return html(Section("Trust", tables=[Table("Trust", ["method", "sanity"], rows, ["A note."])]))

    assert "●</span> depends" in cell(Verdict("depends", good=True))
    assert "▲" in cell(Verdict("does not depend", good=False))
    assert "●" not in cell(Verdict("does not depend", good=False))


def test_a_picture_has_its_numbers_behind_it() -> None:
    table = Table("Accuracy as numbers", ["step", "accuracy"], [Row(["100", "0.91"])])
    text = html(Section("Training", ["intro"], pictures=[Picture("training-curves", "T", "c", "alt", b"png", table)]))
    assert '<th scope="row">100</th>' in text
    assert "<td>0.91</td>" in text


def test_equal_pages_are_equal_bytes() -> None:
    assert html(Section("A", ["b"]), about=[("c", "d")]) == html(Section("A", ["b"]), about=[("c", "d")])
