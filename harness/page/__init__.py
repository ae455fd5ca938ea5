"""The page that every report is written as: one self-contained HTML file of titled sections."""

from harness.page.page import FoldedConfig, Headline, Page, Part, Section, render
from harness.page.picture import Picture
from harness.page.table import Row, Table, Verdict

__all__ = ["FoldedConfig", "Headline", "Page", "Part", "Picture", "Row", "Section", "Table", "Verdict", "render"]
