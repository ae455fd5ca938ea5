"""A report's page in a browser, and what holds of each one."""

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

from playwright.sync_api import Browser, Page


class Images(HTMLParser):
    """A page's images, and everything it would load or link to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "img":
            self.images.append(values)
        self.addresses += [values[key] for key in ("src", "href", "srcset", "action") if key in values]


@contextmanager
def silent(page_file: Path, browser: Browser, width: int, scheme: str) -> Iterator[Page]:
    """The page in a window of that width and colour scheme; in the end it must have logged and loaded nothing."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.resolve().as_uri())
    yield page
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    context.close()


def check_fits(page: Page, width: int, scheme: str) -> None:
    """Fail where the page is wider than its window, an image isn't shown, or its ground is not of its scheme."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    red, _, _ = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red < 60) == (scheme == "dark")
