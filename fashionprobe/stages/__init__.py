"""Stages: plain functions that each write one artifact; the command line exposes them and nothing else."""

from fashionprobe.stages.activations import activations
from fashionprobe.stages.classify import classify
from fashionprobe.stages.converge import converge
from fashionprobe.stages.demo import demo
from fashionprobe.stages.extract import extract
from fashionprobe.stages.faithfulness import faithfulness
from fashionprobe.stages.ingest import ingest
from fashionprobe.stages.maximize import maximize
from fashionprobe.stages.report import report
from fashionprobe.stages.see import see
from fashionprobe.stages.selectivity import selectivity
from fashionprobe.stages.train import train
from fashionprobe.stages.verify import verify

__all__ = [
    "activations",
    "classify",
    "converge",
    "demo",
    "extract",
    "faithfulness",
    "ingest",
    "maximize",
    "report",
    "see",
    "selectivity",
    "train",
    "verify",
]
