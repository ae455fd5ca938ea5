import base64
import re
from typing import Any

import pytest

from harness.scaling.report.page import headlines, page


def test_headlines_of_an_identified_critical_batch(whole: Any) -> None:
    found = headlines(whole.results)
    assert [what for what, _, _ in found] == [
        "critical batch, B_crit",
        "nearly linear up to 0.2·B_crit",
        "fewest steps, S_min",
        "fewest examples, E_min",
        "fastest batch",
        "cheapest batch",
        "knee batch",
    ]
    critical, drawn = whole.analysis.fit.b_crit, whole.analysis.fit.bootstrap["b_crit"]
    assert found[0][1:] == (
        f"{critical.value:.0f}",
        f"95%: {critical.low:.0f} to {critical.high:.0f}; bootstrap: {drawn.low:.0f} to {drawn.high:.0f}",
    )
    fastest = whole.results["recommended"]["fastest"]
    assert found[4][1:] == ("128", f"{fastest['to_target']['value']:.3g} seconds, 2 replicas")
    assert found[6][1:] == ("256", "measured, closest to B_crit")


def test_headlines_of_one_that_is_not_give_the_bound_and_the_next_batch_to_run(unsettled: Any) -> None:
    critical = unsettled.analysis.fit.b_crit
    assert headlines(unsettled.results)[:2] == [
        ("critical batch, B_crit", f"{critical.low:.0f} to 1,280", "not identified"),
        ("next batch to run", "256", "to identify B_crit"),
    ]


def test_an_interval_that_is_open_has_a_bound_or_none(unsettled: Any) -> None:
    for low, high, told in ((0, 5, "at most 5"), (2, None, "at least 2"), (0, None, "no bound")):
        results = unsettled.results | {"b_crit": {"value": 3, "low": low, "high": high}}
        assert headlines(results)[0][1] == told


def test_a_batch_that_was_not_measured_is_marked(whole: Any) -> None:
    knee = {"global_batch": 9000, "measured": False}
    results = whole.results | {"recommended": {"fastest": None, "cheapest": None, "knee": knee}}
    assert headlines(results)[4:] == [("knee batch", "9,000", "not measured")]


@pytest.mark.slow
def test_the_page_has_every_plot_with_its_words_and_its_numbers(whole: Any) -> None:
    html = page("mnist", whole.results, list(whole.plots.values()))
    images = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)">', html)
    assert [base64.b64decode(data) for data, _ in images] == [plot.svg for plot in whole.plots.values()]
    assert [alt for _, alt in images] == [plot.alt for plot in whole.plots.values()]
    assert html.count("<summary>Show the numbers</summary>") == len(whole.plots)
    assert '<tr><th scope="row">16</th><td>0.00106</td>' in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html), "no network"


def test_the_page_tells_sentence_target_warnings_table_noise_and_throughput(whole: Any) -> None:
    html = page("mnist", whole.results, [])
    assert whole.results["sentence"] in html
    assert "validation.accuracy at least 0.985" in html
    (warning,) = whole.results["warnings"]
    assert f"<li>{warning}</li>" in html
    assert re.search(
        r'<th scope="row">4,096</th><td>0.017</td><td>3</td><td>45</td><td>43\xa0to\xa0not reached</td>', html
    )
    assert whole.results["noise_scale"]["caveat"] in html
    assert "compilation, evaluation and checkpoints are excluded" in html
    assert "Measured on: synthetic CPU." in html
    ratio = whole.results["noise_scale"]["headline"]["b_simple_over_b_crit"]
    assert f"a ratio of {ratio:.3g}" in html


def test_what_an_experiment_does_not_have_is_not_on_its_page(make: Any, whole: Any) -> None:
    html = page("mnist", make(whole.trials).results, [])
    for title in ("Noise scale", "Throughput", "Failed trials", "Config"):
        assert f">{title}</h2>" not in html
    assert ">Batches</h2>" in html


def test_failed_trials_and_the_config_are_there_and_escaped(whole: Any) -> None:
    failed = ["b16-lr0.1-s0: it said <b>no</b>: twice"]
    html = page("<i>mnist</i>", whole.results, [], config="name: </pre><script>", failed=failed)
    assert '<th scope="row">b16-lr0.1-s0</th><td>it said &lt;b&gt;no&lt;/b&gt;: twice</td>' in html
    assert "name: &lt;/pre&gt;&lt;script&gt;" in html
    assert "<script>" not in html
    assert "<i>" not in html
