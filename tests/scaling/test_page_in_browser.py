from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from harness.scaling.report import output
from tests.pages import check_fits, silent


@pytest.fixture(scope="module")
def report_file(make_experiment: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaling")
    trials_file = make_experiment(folder, [16, 128, 1024, 4096])
    output.write(trials_file, folder, config_text=f"name: {'long' * 60}", failed=[f"b16: {'why' * 60}"])
    return folder / "report.html"


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_shows_its_plots_and_is_silent(
    report_file: Path, browser: Browser, width: int, scheme: str
) -> None:
    with silent(report_file, browser, width, scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        check_fits(page, width, scheme)
        assert page.evaluate("document.images.length") == 8
        assert page.evaluate("Math.min(...[...document.images].map(image => image.width))") >= 570


@pytest.mark.slow
def test_every_link_leads_to_a_section(report_file: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(report_file.resolve().as_uri())
    targets = "[...document.querySelectorAll('nav a')].map(link => document.querySelector(link.getAttribute('href')))"
    assert page.evaluate(f"{targets}.map(section => section.textContent)") == [
        "Plots",
        "Batches",
        "Noise scale",
        "Throughput",
        "Failed trials",
        "Fit",
        "Config",
    ]
    page.close()
