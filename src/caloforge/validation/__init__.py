"""Validation: how far generated showers are from Geant4, and the floor of every number."""

from caloforge.validation.bias import Bias
from caloforge.validation.classifier import Classifier, TellTale
from caloforge.validation.evaluation import Evaluation, evaluate
from caloforge.validation.inputs import Sample, read_sample
from caloforge.validation.metrics import Separation
from caloforge.validation.report import metrics, write_report

__all__ = [
    "Bias",
    "Classifier",
    "Evaluation",
    "Sample",
    "Separation",
    "TellTale",
    "evaluate",
    "metrics",
    "read_sample",
    "write_report",
]
