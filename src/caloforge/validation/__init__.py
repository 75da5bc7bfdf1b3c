"""Validation: how far generated showers are from Geant4, and the floor of every number."""

from caloforge.validation.bias import Bias
from caloforge.validation.classifier import Classifier, TellTale
from caloforge.validation.comparison import Report, comparison, read_report, write_comparison
from caloforge.validation.evaluation import Evaluation, evaluate
from caloforge.validation.findings import Finding
from caloforge.validation.inputs import Sample, read_sample
from caloforge.validation.integrity import Check
from caloforge.validation.metrics import Comparison, Measure
from caloforge.validation.record import metrics
from caloforge.validation.report import write_report
from caloforge.validation.requirements import Requirement, parse_requirements
from caloforge.validation.scores import Score

__all__ = [
    "Bias",
    "Check",
    "Classifier",
    "Comparison",
    "Evaluation",
    "Finding",
    "Measure",
    "Report",
    "Requirement",
    "Sample",
    "Score",
    "TellTale",
    "comparison",
    "evaluate",
    "metrics",
    "parse_requirements",
    "read_report",
    "read_sample",
    "write_comparison",
    "write_report",
]
