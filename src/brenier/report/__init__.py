"""Reports: what a fit or an evaluation found, as a page with figures."""

from brenier.report.evaluation import READING, Evaluation, measure, plain
from brenier.report.fit import (
    class_figures,
    distance_section,
    figures_section,
    fit_report,
    map_figures,
    settings_section,
)
from brenier.report.page import PAGE, Section, write_report
from brenier.report.tables import class_table, markdown_table, shown, text_table

__all__ = [
    "PAGE",
    "READING",
    "Evaluation",
    "Section",
    "class_figures",
    "class_table",
    "distance_section",
    "figures_section",
    "fit_report",
    "map_figures",
    "markdown_table",
    "measure",
    "plain",
    "settings_section",
    "shown",
    "text_table",
    "write_report",
]
