"""Text to documents, whatever the text: what is wrong with it becomes problems, never an exception."""

from collections.abc import Mapping

from proxy.config.problems import Problems
from proxy.config.text.json_text import json_documents
from proxy.config.text.nodes import Documents
from proxy.config.text.yaml_text import yaml_documents


def parse_documents(file: str, text: str, variables: Mapping[str, str], problems: Problems) -> Documents:
    """All documents of a file that hold something: JSON where its name says so, YAML otherwise."""
    parse = json_documents if file.endswith(".json") else yaml_documents
    return parse(file, text.removeprefix("\ufeff"), variables, problems)
