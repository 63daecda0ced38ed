"""Descriptors -> answers: what a block knows about an attribute, as estimators of scikit-learn and as functions."""

from typing import TYPE_CHECKING

from fashionprobe.lazy import names_of

if TYPE_CHECKING:
    from fashionprobe.attributes.classify import cross_validate
    from fashionprobe.attributes.estimators import AttributeClassifier, Normalizer, UMAPReducer
    from fashionprobe.attributes.extractor import DescriptorExtractor
    from fashionprobe.attributes.neighbours import nearest

__all__ = [
    "AttributeClassifier",
    "DescriptorExtractor",
    "Normalizer",
    "UMAPReducer",
    "cross_validate",
    "nearest",
]

__getattr__, __dir__ = names_of(__name__)
