"""Reports: what a fit or an evaluation found, as a page of Markdown and its figures in one folder.

`page` and `tables` are the building blocks, `figures`, `control_figures` and `plots` draw, `fit`, `evaluation`,
`control` and `drift_page` say what is reported. `drift` says whether a table has changed since a reference.
"""

from brenier.report.control import (
    MeasuredPolicy,
    PolicyFacts,
    control_report,
    first_line,
    measure_policy,
    policy_settings,
    told_fields,
)
from brenier.report.drift import (
    CategorySummary,
    Drift,
    DriftReference,
    DriftStudy,
    FeatureDrift,
    MovedRow,
    NumberSummary,
    drift,
    holds_reference,
)
from brenier.report.drift_page import (
    DRIFT_PAGE,
    distance_line,
    drift_report,
    drifted_weeks,
    feature_rows,
    moved_row_table,
    said_of_weeks,
    surely_changed,
    week_rows,
)
from brenier.report.evaluation import (
    EVALUATION,
    EVALUATION_FOOTNOTE,
    MapEvaluation,
    has_enough_rows,
    measure,
    to_json,
)
from brenier.report.figures import (
    LabelPair,
    class_figures,
    figures_section,
    map_figures,
)
from brenier.report.fit import (
    REPORT,
    distance_section,
    fit_report,
    settings_section,
    with_current_names,
    worth_of,
)
from brenier.report.page import PAGE, Section, write_report
from brenier.report.regions import regions_section
from brenier.report.tables import (
    TableRows,
    class_table,
    format_cell,
    markdown_table,
    text_table,
)

__all__ = [
    "DRIFT_PAGE",
    "EVALUATION",
    "EVALUATION_FOOTNOTE",
    "PAGE",
    "REPORT",
    "CategorySummary",
    "Drift",
    "DriftReference",
    "DriftStudy",
    "FeatureDrift",
    "LabelPair",
    "MapEvaluation",
    "MeasuredPolicy",
    "MovedRow",
    "NumberSummary",
    "PolicyFacts",
    "Section",
    "TableRows",
    "class_figures",
    "class_table",
    "control_report",
    "distance_line",
    "distance_section",
    "drift",
    "drift_report",
    "drifted_weeks",
    "feature_rows",
    "figures_section",
    "first_line",
    "fit_report",
    "format_cell",
    "has_enough_rows",
    "holds_reference",
    "map_figures",
    "markdown_table",
    "measure",
    "measure_policy",
    "moved_row_table",
    "policy_settings",
    "regions_section",
    "said_of_weeks",
    "settings_section",
    "surely_changed",
    "text_table",
    "to_json",
    "told_fields",
    "week_rows",
    "with_current_names",
    "worth_of",
    "write_report",
]
