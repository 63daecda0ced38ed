"""Descriptors -> answers: what a block knows about an attribute."""
