"""YAML that people write, read as plain text: no value is guessed, and each has its line.

YAML turns ``NO`` into false and ``12:30`` into 750, keeps the last of two equal keys in
silence, and lets a file of ten lines grow to gigabytes by aliases. Here every scalar
stays what was written, and equal keys and aliases are mistakes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

KeyPath = tuple[str, ...]
"""The way to a value: ``("banks", "HDFC", "address")``, written ``banks.HDFC.address``."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: in which line, under which key. Line 0 is the whole file."""

    line: int
    key: str
    message: str


class YamlDocument:
    """A parsed text: its ``content``, and the ``mistakes`` found in it; no content unless ``is_yaml``."""

    def __init__(self, text: str) -> None:
        self.content: Any = {}
        self.mistakes: list[Mistake] = []
        self.is_yaml = False
        self._lines: dict[KeyPath, int] = {}
        self._seen: set[yaml.Node] = set()
        try:
            # Not the loader in C, which crashes on deep nesting.
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.content = self._read(root, ()) if root is not None else {}
            self.is_yaml = True
        except yaml.YAMLError as error:
            self.mistakes = [_explain_syntax(error)]
        except RecursionError:
            self.mistakes = [Mistake(0, "", "is nested too deeply")]

    def block(self, *key: str) -> Mapping[str, Any]:
        """Return the keys below ``key``; none if there is no block of keys."""
        content = self.content
        for name in key:
            content = content.get(name) if isinstance(content, dict) else None
        return content if isinstance(content, dict) else {}

    def find_line(self, key: KeyPath) -> int:
        """Return the line of a key, or of the nearest that it should be in."""
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 1)

    def _read(self, node: yaml.Node, key: KeyPath) -> Any:
        line = self._lines.setdefault(key, node.start_mark.line + 1)
        if node in self._seen:
            self._refuse(line, key, "is an alias; write out what it stands for")
            return {}
        self._seen.add(node)
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self._read(item, (*key, str(at))) for at, item in enumerate(node.value)]
        return node.value

    def _read_mapping(self, node: yaml.MappingNode, key: KeyPath) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(line, key, "a key must be a plain text")
            elif key_node.value in content:
                first = self._lines[*key, key_node.value]
                self._refuse(line, (*key, key_node.value), f"is there twice, first in line {first}; keep one")
            else:
                self._lines[*key, key_node.value] = line
                content[key_node.value] = self._read(value_node, (*key, key_node.value))
        return content

    def _refuse(self, line: int, key: KeyPath, message: str) -> None:
        self.mistakes.append(Mistake(line, ".".join(key), message))


def _explain_syntax(error: yaml.YAMLError) -> Mistake:
    if isinstance(error, yaml.MarkedYAMLError):
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return Mistake(line, "", f"is not YAML: {error.problem}")
    return Mistake(0, "", f"is not YAML: {str(error).splitlines()[0]}")
