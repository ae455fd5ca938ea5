from typing import Any

import numpy as np

from harness.config import resolve
from harness.page import Page, Picture, Row, Section, Table, Verdict, render
from harness.page.tiles import Outline
from harness.report.page.confusion import confusion
from harness.report.page.facts import facts, head_of_model, head_of_run, headlines, run_section
from harness.report.page.gallery import ExampleRow, Gallery, MethodColumn, Target

SUMMARY = {
    "status": "completed",
    "steps": 2149,
    "train_seconds": 5400.0,
    "images_per_second": 6663.4,
    "peak_memory_bytes": 1024 * 2**20,
    "validation": None,
    "test": {"loss": 0.03121, "accuracy": 0.99084, "examples": 10000},
    "versions": {"python": "3.12.1", "keras": "3.15.1"},
    "git": None,
}


def html(**what: Any) -> str:
    page = Page(**{"title": "A title", "sections": [], **what})
    return render(page, "harness.report.page", "report.html.jinja")


def test_the_head_tells_a_stranger_which_run_it_is() -> None:
    config = resolve(
        {"name": "my-run", "based_on": "my-config", "seed": 5, "data": {"source": "/data/sets/digits.npz"}}
    )
    summary = SUMMARY | {"finished": "2026-11-29T14:13:08+00:00"}
    head = head_of_run("my-run", config, summary, 60_554, 0.99084)
    assert dict(head.facts) == {
        "data set": "digits.npz",
        "model": "cnn",
        "parameters": "60,554",
        "trained": "29 November 2026, 14:13 UTC",
        "seed": "5",
        "config": "my-config",
        "run": "my-run",
    }
    assert all(what in head.title for what in ("cnn", "digits.npz", "99.08%"))
    text = html(title=head.title, about=head.facts)
    assert f"<title>{head.title}</title>" in text
    assert all(f"<dd>{value}</dd>" in text for _, value in head.facts)


def test_a_head_has_no_date_where_the_summary_has_none_and_a_model_has_no_run() -> None:
    assert "trained" not in dict(head_of_run("my-run", resolve({}), SUMMARY, 1, 0.5).facts)
    assert dict(head_of_model("my", "images.npz", 12, 0.5).facts) == {
        "data set": "images.npz",
        "model": "my",
        "parameters": "12",
    }


def test_headlines_and_facts_are_in_words_and_units() -> None:
    assert [(what, value) for what, value, _ in headlines(SUMMARY)] == [
        ("test accuracy", "99.08%"),
        ("test loss", "0.0312"),
        ("images per second", "6,663"),
        ("training time", "90 min"),
    ]
    assert facts(SUMMARY) == [
        ("status", "completed"),
        ("test", "accuracy 0.9908, loss 0.0312, on 10,000 images"),
        ("steps", "2,149"),
        ("peak memory", "1,024 MiB"),
        ("versions", "python 3.12.1, keras 3.15.1"),
    ]


def test_the_noise_scale_is_a_fact_where_it_was_measured() -> None:
    quarter = {"first_step": 4000, "last_step": 5000, "measured": 100, "b_simple": 912.3, "low": 700.0, "high": 1180.0}
    summary = SUMMARY | {"noise_scale": [quarter | {"trace_preconditioned": None}]}
    told = dict(facts(summary))["gradient noise scale"]
    assert "B_simple 912 (95%: 700 to 1,180)" in told
    assert "steps 4,000 to 5,000" in told
    assert "gradient noise scale" not in dict(facts(SUMMARY | {"noise_scale": None}))


def test_names_and_config_are_escaped() -> None:
    text = html(
        title="<i>title</i>",
        about=[("run", "<i>run</i>")],
        sections=[run_section({"status": "<b>"}, "name: </pre><script>")],
        data={"a": "</script><u>"},
    )
    assert not {"<i>", "<b>", "<u>"} & {text[at : at + 3] for at in range(len(text))}
    assert "name: &lt;/pre&gt;&lt;script&gt;" in text
    assert text.count("</script>") == 2


def test_the_names_of_layers_classes_and_a_users_files_are_escaped() -> None:
    name = 'my"><script>alert(1)</script>.png'
    row = ExampleRow(
        name,
        "predicted 1",
        "99 %",
        "your own",
        "own",
        "",
        1,
        name,
        name,
        b"",
        Outline("", 2, 2),
        [Target(1, name, "predicted", [])],
    )
    gallery = Gallery(
        [MethodColumn("gradient", name, name, False, [(name, Verdict(name, good=True))], name)],
        [row],
        {1: name},
        {"own": name},
        asked=name,
    )
    table = Table(name, [name], [Row([name])])
    pictures = [Picture(f"filters-{name}", name, name, name, b"png", table)]
    text = html(
        sections=[Section(name, [name], pictures=pictures), Section("Maps", parts=[gallery])], data={name: name}
    )
    assert "my&#34;&gt;&lt;script&gt;" in text
    assert "<script>alert" not in text
    assert text.count("</script>") == 2
    assert "<noscript><p>The maps are drawn by JavaScript" in text


def test_the_section_on_the_run_has_its_facts_and_its_config() -> None:
    text = html(sections=[run_section(SUMMARY, "seed: 7")])
    assert '<h2 id="the-run">' in text
    assert '<th scope="row">steps</th><td>2,149</td>' in text
    assert "<code>harness train</code> repeats the run" in text
    assert "seed: 7</pre>" in text


def test_one_image_is_no_plural() -> None:
    matrix = confusion(np.array([0, 1, 1], np.int32), np.array([0, 0, 0]), 2)
    text = html(sections=[Section("Result", parts=[matrix])])
    assert 'aria-label="true class 0, predicted 0: 1 image"' in text
    assert 'aria-label="true class 1, predicted 0: 2 images"' in text
