"""Classifiers behind OpenAI-compatible endpoints: vLLM, SGLang, `transformers serve` and hosted ones."""

from hybridcert.adapters.endpoint.classifier import EndpointClassifier as EndpointClassifier
from hybridcert.adapters.endpoint.stack import ServingStack as ServingStack
