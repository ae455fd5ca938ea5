"""The report: one self-contained HTML file, its style and its script beside its template."""

from harness.report.page.head import Head, head_of_model, head_of_run
from harness.report.page.page import Page, Section, TrustTable, render

__all__ = ["Head", "Page", "Section", "TrustTable", "head_of_model", "head_of_run", "render"]
