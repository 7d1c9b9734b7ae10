"""The report: one self-contained HTML file about one or several studies."""

from ganbench.report.build import build

__all__ = ["build"]
