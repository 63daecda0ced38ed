"""Stages: plain functions that each write one artifact; the command line exposes them and nothing else."""

from fashionprobe.stages.classify import classify
from fashionprobe.stages.demo import demo
from fashionprobe.stages.extract import extract
from fashionprobe.stages.ingest import ingest
from fashionprobe.stages.report import report
from fashionprobe.stages.train import train
from fashionprobe.stages.verify import verify

__all__ = ["classify", "demo", "extract", "ingest", "report", "train", "verify"]
