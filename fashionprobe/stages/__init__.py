"""Stages: plain functions that each write one artifact; the command line exposes them and nothing else."""

from fashionprobe.stages import attribute
from fashionprobe.stages.activations import activations
from fashionprobe.stages.app import app
from fashionprobe.stages.branch import branch
from fashionprobe.stages.choose import choose
from fashionprobe.stages.classify import classify
from fashionprobe.stages.converge import converge
from fashionprobe.stages.demo import demo
from fashionprobe.stages.dissect import dissect
from fashionprobe.stages.embed import embed
from fashionprobe.stages.evaluate import evaluate
from fashionprobe.stages.export import export
from fashionprobe.stages.extract import extract
from fashionprobe.stages.faithfulness import faithfulness
from fashionprobe.stages.fill import fill
from fashionprobe.stages.index import index
from fashionprobe.stages.index_updates import index_add, index_compact, index_remove, index_status
from fashionprobe.stages.ingest import ingest
from fashionprobe.stages.masks import masks
from fashionprobe.stages.maximize import maximize
from fashionprobe.stages.pairs import pairs
from fashionprobe.stages.predict import predict
from fashionprobe.stages.profile import profile
from fashionprobe.stages.propose import propose
from fashionprobe.stages.reduce import reduce
from fashionprobe.stages.refit import refit
from fashionprobe.stages.refit.preview import preview
from fashionprobe.stages.relevance import relevance
from fashionprobe.stages.report import report
from fashionprobe.stages.retrieve import retrieve
from fashionprobe.stages.search import search
from fashionprobe.stages.see import see
from fashionprobe.stages.selectivity import selectivity
from fashionprobe.stages.serve import serve
from fashionprobe.stages.tag import tag
from fashionprobe.stages.train import train
from fashionprobe.stages.tune import tune
from fashionprobe.stages.unseen import unseen
from fashionprobe.stages.verify import verify
from fashionprobe.stages.wall import wall

__all__ = [
    "activations",
    "app",
    "attribute",
    "branch",
    "choose",
    "classify",
    "converge",
    "demo",
    "dissect",
    "embed",
    "evaluate",
    "export",
    "extract",
    "faithfulness",
    "fill",
    "index",
    "index_add",
    "index_compact",
    "index_remove",
    "index_status",
    "ingest",
    "masks",
    "maximize",
    "pairs",
    "predict",
    "preview",
    "profile",
    "propose",
    "reduce",
    "refit",
    "relevance",
    "report",
    "retrieve",
    "search",
    "see",
    "selectivity",
    "serve",
    "tag",
    "train",
    "tune",
    "unseen",
    "verify",
    "wall",
]
