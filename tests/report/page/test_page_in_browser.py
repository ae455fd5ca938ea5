"""The page in a headless Chromium, without a network."""

import io
import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

from harness.runs.run_dir import RunDir
from tests.pages import check_fits, silent

pytestmark = pytest.mark.slow

NARROW_AND_WIDE: list[ViewportSize] = [{"width": 360, "height": 800}, {"width": 1280, "height": 900}]


@pytest.fixture
def page(run: RunDir, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(run.report_file.resolve().as_uri())
    yield page
    context.close()


def shown(page: Page) -> list[dict[str, str]]:
    """The data of the gallery's visible rows."""
    script = "rows => rows.filter(row => row.offsetParent).map(row => ({...row.dataset}))"
    rows: list[dict[str, str]] = page.locator(".maps tbody tr").evaluate_all(script)
    return rows


def cell_of(row: dict[str, str]) -> str:
    return f".confusion button[data-label='{row['label']}'][data-predicted='{row['predicted']}']"


def unexplained(page: Page) -> dict[str, str]:
    """The data of the most frequent cell without a row."""
    explained = {(row["label"], row["predicted"]) for row in shown(page)}
    cells: list[dict[str, str]] = page.locator(".confusion button").evaluate_all(
        "cells => cells.map(cell => ({...cell.dataset}))"
    )
    missing = [cell for cell in cells if (cell["label"], cell["predicted"]) not in explained]
    return max(missing, key=lambda cell: int(cell["count"]))


# A colour scheme changes colours and the width the layout: each once.
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_the_page_fits_shows_its_images_is_silent_and_accessible(
    run: RunDir, browser: Browser, width: int, scheme: str
) -> None:
    with silent(run.report_file, browser, width, scheme) as page:
        check_fits(page, width, scheme)
        paper = Image.open(io.BytesIO(page.locator(".chart img").first.screenshot())).convert("L").getpixel((2, 2))
        assert isinstance(paper, int | float)
        assert (paper < 60) == (scheme == "dark"), "a white chart glares from a dark page"
        assert page.locator(".confusion").evaluate("matrix => matrix.offsetWidth <= matrix.parentElement.clientWidth")
        strongest = (
            "cells => cells.filter(cell => cell.style.getPropertyValue('--share') == 1).map(cell => cell.innerText)"
        )
        told = page.locator(".confusion button").evaluate_all(strongest)
        assert min(map(len, told), default=0) >= 2, "axe looks at no text of one letter"
        serious = [
            found for found in Axe().run(page).response["violations"] if found["impact"] in ("serious", "critical")
        ]
        assert serious == []
        page.locator(".map").first.click()
        page.locator("#removed").fill("20")
        in_dialog = Axe().run(page, context="dialog").response["violations"]
        assert [found for found in in_dialog if found["impact"] in ("serious", "critical")] == []


def test_a_confusion_cell_shows_its_images_alone_and_again_all(page: Page) -> None:
    everything = shown(page)
    first = everything[0]
    cell = page.locator(cell_of(first))
    cell.click()
    expected = [row for row in everything if (row["label"], row["predicted"]) == (first["label"], first["predicted"])]
    assert shown(page) == expected
    assert 0 < len(expected) < len(everything)
    assert cell.get_attribute("aria-pressed") == "true"
    assert f"{len(expected)} of {len(everything)} images shown" in page.locator("#shown").inner_text()
    cell.click()
    assert shown(page) == everything


def test_a_cell_whose_images_are_not_explained_says_how_to_see_them(page: Page) -> None:
    missing = unexplained(page)
    page.locator(cell_of(missing)).click()
    assert shown(page) == []
    assert f"run harness visualize again with --images {missing['rows']}" in page.locator("#shown").inner_text()
    page.locator("#clear").click()
    assert shown(page) != []


@pytest.mark.parametrize("viewport", NARROW_AND_WIDE)
def test_what_a_confusion_cell_has_done_is_in_view(page: Page, viewport: ViewportSize) -> None:
    page.set_viewport_size(viewport)
    cell = page.locator(cell_of(unexplained(page)))
    cell.evaluate("cell => { cell.dataset.rows = Array(8).fill(59999).join(); }")
    cell.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    for name in ("#class", "#clear", "#shown"):
        box = page.locator(name).bounding_box()
        assert box is not None
        assert box["y"] >= 0, name
        assert box["y"] + box["height"] <= viewport["height"], name


def test_the_confusion_matrix_is_one_tab_stop_and_arrows_reach_every_cell(page: Page) -> None:
    in_matrix = "document.activeElement.closest('.confusion') !== null"
    focused = "document.activeElement.ariaLabel"

    def press(key: str) -> bool:
        """Whether the focus moved."""
        before = page.evaluate(focused)
        page.keyboard.press(key)
        return bool(page.evaluate(focused) != before)

    while not page.evaluate(in_matrix):
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert not page.evaluate(in_matrix)
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(in_matrix)
    reached = set()
    more = True
    while more:
        while press("ArrowLeft"):
            pass
        reached.add(page.evaluate(focused))
        while press("ArrowRight"):
            reached.add(page.evaluate(focused))
        more = press("ArrowDown")
    assert reached == set(page.locator(".confusion button").evaluate_all("cells => cells.map(cell => cell.ariaLabel)"))
    last = page.evaluate(focused)
    page.keyboard.press("Tab")
    assert not page.evaluate(in_matrix)
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(focused) == last
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.ariaPressed") == "true"
    press("ArrowUp")
    assert page.evaluate(focused) != last


@pytest.mark.parametrize("viewport", NARROW_AND_WIDE)
def test_the_heads_stand_still_and_hide_no_focus(page: Page, viewport: ViewportSize) -> None:
    page.set_viewport_size(viewport)
    corner = page.locator(".maps thead th").first
    page.locator("#gallery").evaluate("gallery => gallery.scrollTo(0, 1e6)")
    assert page.locator("#gallery").evaluate("gallery => gallery.scrollTop") > 0
    box, gallery = corner.bounding_box(), page.locator("#gallery").bounding_box()
    assert box is not None
    assert gallery is not None
    assert (box["x"], box["y"]) == pytest.approx((gallery["x"], gallery["y"]), abs=1)

    clear = """() => {
      const [map, head, gallery] = [document.activeElement, document.querySelector(".maps thead th"),
        document.getElementById("gallery")].map(element => element.getBoundingClientRect());
      return map.top >= head.bottom - 1 && map.left >= head.right - 1 && map.bottom <= gallery.bottom + 1;
    }"""
    page.locator(".map[tabindex='0']").focus()
    for key, times in {"ArrowDown": 9, "ArrowRight": 3, "ArrowUp": 9, "ArrowLeft": 3}.items():
        for _ in range(times):
            page.keyboard.press(key)
            assert page.evaluate(clear), key


def test_paper_has_the_whole_gallery_and_no_controls(page: Page) -> None:
    page.emulate_media(media="print")
    whole = (
        "gallery => getComputedStyle(gallery).overflowY === 'visible' && gallery.offsetHeight === gallery.scrollHeight"
    )
    assert page.locator("#gallery").evaluate(whole)
    assert not page.locator("#controls").is_visible()
    page.set_viewport_size({"width": 720, "height": 1000})  # A4 within its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


def test_class_and_outcome_filter_together(page: Page) -> None:
    everything = shown(page)
    page.locator("#outcome").select_option("wrong")
    assert shown(page) == [row for row in everything if row["label"] != row["predicted"]]
    label = shown(page)[0]["label"]
    page.locator("#class").select_option(label)
    wrong = [row for row in everything if row["label"] == label and row["label"] != row["predicted"]]
    assert shown(page) == wrong
    page.locator("#clear").click()
    page.locator("#outcome").select_option("mistakes")
    assert {row["kind"] for row in shown(page)} == {"mistakes"}


def test_the_target_switch_shows_the_maps_of_that_class(page: Page) -> None:
    wrong = page.locator(".maps tbody tr").evaluate_all(
        "rows => rows.findIndex(row => row.dataset.label !== row.dataset.predicted && row.dataset.kind !== 'named')"
    )
    row = page.locator(".maps tbody tr").nth(wrong)
    label, predicted = row.get_attribute("data-label"), row.get_attribute("data-predicted")

    def captions() -> set[str]:
        return set(row.locator(".map:visible").all_inner_texts())

    assert captions() == {f"for {predicted}", f"for {label}"}
    page.locator("#target").select_option("predicted")
    assert captions() == {f"for {predicted}"}
    page.locator("#target").select_option("true")
    assert captions() == {f"for {label}"}
    page.locator("#target").select_option("asked")
    assert set(page.locator(".map:visible").all_inner_texts()) == {"for 2"}


def pixels(page: Page, index: int = 0) -> list[int]:
    """The colours of a drawn map."""
    script = "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    drawn: list[int] = page.locator("canvas.values").nth(index).evaluate(script)
    return drawn


def test_a_scale_of_its_own_spends_all_colours_on_a_map_and_a_shared_one_does_not(page: Page) -> None:
    own = [pixels(page, index) for index in range(4)]
    page.locator("#scale").select_option("raw")
    raw = [pixels(page, index) for index in range(4)]
    assert own != raw
    assert max(max(of[0::4]) for of in raw) <= max(max(of[0::4]) for of in own)
    assert "map max" not in page.locator(".maps thead").inner_text()
    page.locator("#scale").select_option("image")
    assert [pixels(page, index) for index in range(4)] == own


def test_a_signed_map_is_white_where_it_says_nothing(page: Page) -> None:
    index = page.locator("canvas.values").evaluate_all(
        "all => all.findIndex(canvas => canvas.dataset.method === 'gradient_times_input')"
    )
    for scale in ("image", "shared", "raw"):
        page.locator("#scale").select_option(scale)
        middle = [247, 247, 247]  # of the colours: black pixels get nothing
        assert pixels(page, index)[:3] == middle, scale


def test_the_opacity_slider_lets_the_image_through(page: Page) -> None:
    opacity = "canvas => getComputedStyle(canvas).opacity"
    canvas = page.locator("canvas.values").first
    assert canvas.evaluate(opacity) == "1"
    page.locator("#opacity").fill("35")
    assert canvas.evaluate(opacity) == "0.35"


def test_the_deletion_slider_follows_its_curve_and_blackens_the_image(page: Page) -> None:
    page.locator(".map").first.click()
    script = "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    whole = page.locator("#deleted").evaluate(script)
    page.locator("#removed").fill("28")
    assert not any(value for place, value in enumerate(page.locator("#deleted").evaluate(script)) if place % 4 != 3)
    assert any(value for place, value in enumerate(whole) if place % 4 != 3)
    told = page.locator("#removed-told").inner_text()
    last = page.evaluate("data.examples[0].deletion.gradient.curve.at(-1).toFixed(3)")
    for fact in ("100% of the pixels", f"predicted class {last}"):
        assert fact in told
    assert page.locator("#removed").get_attribute("aria-valuetext") == told
    assert page.locator("#removed-told").get_attribute("role") is None, "which would tell it twice"
    marks = page.evaluate("[document.getElementById('mark').getAttribute('cx'), open.at(28)[0].toString()]")
    assert marks[0] == marks[1] == "290"
    page.keyboard.press("Escape")
    assert not page.locator("#deletion").is_visible()


@pytest.mark.parametrize("viewport", NARROW_AND_WIDE)
def test_the_dialog_shows_the_map_large_under_the_outline_of_its_image(page: Page, viewport: ViewportSize) -> None:
    page.set_viewport_size(viewport)
    drawn = "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    for index in (0, page.locator(".map").count() - 1):
        small = page.locator(".map").nth(index)
        width = small.locator("canvas").evaluate("canvas => canvas.offsetWidth")
        small.click()
        large = page.locator("#large canvas")
        assert large.evaluate(drawn) == small.locator("canvas").evaluate(drawn)
        box, outline = large.bounding_box(), page.locator("#large svg").bounding_box()
        assert box is not None
        assert box == outline
        assert box["width"] > 3 * width
        assert box["y"] >= 0, "it is in view as soon as the dialog opens"
        assert box["y"] + box["height"] <= viewport["height"]
        assert page.locator("#large-bar + span").inner_text() not in ("", "0 … map max")
        page.keyboard.press("Escape")


def test_the_page_goes_from_the_result_over_curves_mistakes_and_maps_to_trust(page: Page) -> None:
    top = "element => element.getBoundingClientRect().top"
    order = ["h1", ".chart", ".confusion", ".maps", "#can-the-maps-be-trusted"]
    places = [page.locator(name).first.evaluate(top) for name in order]
    assert places == sorted(places)


def test_deletion_names_the_class_whose_map_orders_the_pixels(page: Page) -> None:
    wrong = next(row for row in shown(page) if row["label"] != row["predicted"])
    row = page.locator(f".maps tbody tr[data-label='{wrong['label']}'][data-predicted='{wrong['predicted']}']").first
    for label in (wrong["label"], wrong["predicted"]):
        row.locator(".map", has_text=re.compile(f"for {label}$")).first.click()
        assert f"class {label}" in page.locator("#deletion-title").inner_text()
        assert page.locator("#deletion-class").inner_text() == wrong["predicted"]
        page.keyboard.press("Escape")


def test_everything_is_reached_by_keyboard(page: Page) -> None:
    page.locator("#opacity").focus()
    focused = "document.activeElement.dataset.example + ' ' + document.activeElement.dataset.method"
    for name in ("The answers with their numbers", "What the maps show"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.innerText") == name
    page.keyboard.press("Tab")
    if page.evaluate("document.activeElement.id") == "gallery":  # Chromium lets one scroll it by keyboard
        page.keyboard.press("Tab")
    assert page.evaluate(focused) == "0 gradient"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "1 gradient"
    page.keyboard.press("ArrowUp")
    maps = page.locator(".maps tbody tr").first.locator(".map").count()
    for _ in range(maps - 1):
        page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "0 gradient_times_input"
    page.keyboard.press("Enter")
    assert page.locator("#deletion").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == "0 gradient_times_input"


def test_every_map_is_named_and_described_by_the_answers_about_its_method(page: Page) -> None:
    first = page.locator(".map").first
    name = first.get_attribute("aria-label")
    assert name is not None
    assert name.startswith("Gradient map for class ")
    assert ": test image 3, true class " in name
    described = page.locator(f"#{first.get_attribute('aria-describedby')}").inner_text()
    for question in ("weights", "faithful", "stable", "class"):
        assert re.search(rf"{question}\s+[●▲◇] (yes|no|can't tell)", described), question


def test_the_answers_stay_within_their_columns_on_a_telephone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator(".answers dd").last.evaluate("answer => { answer.innerText = 'not asked: two classes'; }")
    within = """heads => heads.every(head => [...head.querySelectorAll("dt, dd")].every(part =>
      part.scrollWidth <= part.clientWidth + 1
      && part.getBoundingClientRect().right <= head.getBoundingClientRect().right + 1))"""
    assert page.locator(".maps thead th").evaluate_all(within)
    tall = page.locator(".maps thead").evaluate(
        "head => head.offsetHeight / document.getElementById('gallery').offsetHeight"
    )
    assert tall < 0.3


def test_columns_beyond_the_edge_are_announced_and_two_methods_fit_a_telephone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#sideways")).to_be_hidden()
    assert page.locator("#gallery").evaluate("table => table.scrollWidth <= table.clientWidth")
    page.set_viewport_size({"width": 240, "height": 844})
    expect(page.locator("#sideways")).to_be_visible()
