"""The report: one self-contained HTML file, its style and its script beside its template."""

from harness.report.page.page import Page, Section, TrustTable, render

__all__ = ["Page", "Section", "TrustTable", "render"]
