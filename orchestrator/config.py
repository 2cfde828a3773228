"""cluster.yaml, read strictly: every mistake at once, each with its line and key.

YAML has traps that would be found in production: ``NO`` is false, ``12:30`` is 750, and
of two equal keys the last wins. Here scalars stay the text that was written, keys may
not repeat, and what a value means is decided by the model that it is for.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from nodes.core.money import EXPONENTS
from nodes.core.names import (
    BANK_NAME_RULE,
    CLUSTER_NAME_RULE,
    is_address,
    is_bank_name,
    is_cluster_name,
)

_DURATION = re.compile(r"(?P<number>[0-9]{1,6}(\.[0-9]{1,3})?)(?P<unit>ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_GIVE_UP = re.compile(r"(?P<starts>[0-9]{1,4}) starts in (?P<window>\S+)")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: in which line, under which key."""

    line: int
    key: str
    message: str


class ConfigMistaken(Exception):
    """cluster.yaml cannot be used; ``mistakes`` has each thing that is wrong with it."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda mistake: mistake.line)
        super().__init__("\n".join(self._write(path, mistake) for mistake in self.mistakes))

    @staticmethod
    def _write(path: Path, mistake: Mistake) -> str:
        place = f"{path.name}:{mistake.line}: " if mistake.line else f"{path}: "
        return f"{place}{mistake.key}: {mistake.message}" if mistake.key else f"{place}{mistake.message}"


# -- values -------------------------------------------------------------------------


def _parse_duration(value: object) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write it like 500ms, 2s or 1m")
    seconds = float(match["number"]) * _SECONDS[match["unit"]]
    if not seconds:
        raise ValueError("must be more than 0")
    return seconds


def _parse_give_up(value: object) -> tuple[int, float]:
    match = _GIVE_UP.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match["starts"]) < 1:
        raise ValueError(f"{value!r} is not of the form '5 starts in 10s'")
    return int(match["starts"]), _parse_duration(match["window"])


def _check_address(value: str) -> str:
    if not is_address(value):
        raise ValueError(f"{value!r} is not host:port with a port of 1 to 65535")
    return value


def _check_cluster_name(value: str) -> str:
    if not is_cluster_name(value):
        raise ValueError(f"{value!r} cannot name a cluster: {CLUSTER_NAME_RULE}")
    return value


def _check_bank_name(value: str) -> str:
    if not is_bank_name(value):
        raise ValueError(f"{value!r} cannot name a bank: {BANK_NAME_RULE}")
    return value


def _check_currency(value: str) -> str:
    if value not in EXPONENTS:
        raise ValueError(f"{value!r} is not a known ISO 4217 code; write it like INR")
    return value


Duration = Annotated[float, BeforeValidator(_parse_duration)]
Address = Annotated[str, AfterValidator(_check_address)]
BankName = Annotated[str, AfterValidator(_check_bank_name)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class GatewayConfig(_Model):
    """Where the gateway listens, and how long banks may take to vote."""

    address: Address = "localhost:50052"
    payment_timeout: Duration = 2.0

    @property
    def payment_timeout_s(self) -> float:
        """How long banks may take to vote, in seconds."""
        return self.payment_timeout


class BankConfig(_Model):
    """Where a bank listens."""

    address: Address


class RestartConfig(_Model):
    """How nodes that end are started again."""

    backoff: Duration = 0.1
    max_backoff: Duration = 5.0
    give_up_after: Annotated[tuple[int, float], BeforeValidator(_parse_give_up)] = (5, 10.0)

    @property
    def backoff_s(self) -> float:
        """The wait before the first restart."""
        return self.backoff

    @property
    def max_backoff_s(self) -> float:
        """The longest wait."""
        return self.max_backoff

    @property
    def give_up_starts(self) -> int:
        """How many starts within `give_up_window_s` are too many."""
        return self.give_up_after[0]

    @property
    def give_up_window_s(self) -> float:
        """Within how many seconds."""
        return self.give_up_after[1]


class LivenessConfig(_Model):
    """How nodes that run are watched."""

    interval: Duration = 0.5
    hung_after: Duration = 5.0

    @property
    def interval_s(self) -> float:
        """How often each node is asked how it is."""
        return self.interval

    @property
    def hung_after_s(self) -> float:
        """A node that has not answered for so long is killed and started again."""
        return self.hung_after


class ClusterConfig(_Model):
    """The whole of cluster.yaml."""

    name: Annotated[str, AfterValidator(_check_cluster_name)] = "payments.local"
    currency: Annotated[str, AfterValidator(_check_currency)] = "INR"
    gateway: GatewayConfig = GatewayConfig()
    banks: dict[BankName, BankConfig]
    users: Path = Path("users.json")
    restart: RestartConfig = RestartConfig()
    liveness: LivenessConfig = LivenessConfig()


# -- reading ------------------------------------------------------------------------


def load(path: Path) -> ClusterConfig:
    """Read cluster.yaml; raises `ConfigMistaken`. ``users`` comes back absolute."""
    lines: dict[tuple[str, ...], int] = {}
    try:
        text = path.read_text(encoding="utf-8")
        content = _read_node(yaml.compose(text, Loader=yaml.CSafeLoader), (), lines)
        config = ClusterConfig.model_validate(content)
    except OSError as error:
        raise ConfigMistaken(path, [Mistake(0, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigMistaken(path, [Mistake(0, "", "is not UTF-8 text")]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigMistaken(path, [Mistake(line, "", f"is not YAML: {error.problem}")]) from error
    except _Repeated as error:
        raise ConfigMistaken(path, [error.mistake]) from error
    except ValidationError as error:
        raise ConfigMistaken(path, [_explain(found, lines) for found in error.errors()]) from error
    mistakes = list(_find_clashes(config, lines))
    if mistakes:
        raise ConfigMistaken(path, mistakes)
    return config.model_copy(update={"users": path.parent / config.users})


class _Repeated(Exception):
    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


def _read_node(node: yaml.Node | None, key: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> Any:
    """Return what a YAML node holds, scalars as the text that was written; note the line of each key."""
    if node is None:
        return {}
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name = str(key_node.value)
            line = key_node.start_mark.line + 1
            if name in content:
                raise _Repeated(Mistake(line, ".".join((*key, name)), "is there twice; remove one"))
            lines[*key, name] = line
            content[name] = _read_node(value_node, (*key, name), lines)
        return content
    if isinstance(node, yaml.SequenceNode):
        return [_read_node(item, (*key, str(at)), lines) for at, item in enumerate(node.value)]
    return node.value


def _explain(found: Any, lines: Mapping[tuple[str, ...], int]) -> Mistake:
    """Say what pydantic found, in the words of who wrote the file."""
    key = tuple(str(part) for part in found["loc"] if part != "[key]")
    message = found["msg"].removeprefix("Value error, ")
    match found["type"]:
        case "extra_forbidden":
            message = "there is no such key; see the commented cluster.yaml for those that are"
        case "missing":
            message = "is missing"
        case "model_type" | "model_attributes_type" | "dict_type":
            message = f"must be a block of keys, not {str(found['input'])[:40]!r}"
        case "string_type" | "path_type":
            message = "must be a plain text"
    return Mistake(_line(key, lines), ".".join(key), message)


def _line(key: tuple[str, ...], lines: Mapping[tuple[str, ...], int]) -> int:
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 1)


def _find_clashes(config: ClusterConfig, lines: Mapping[tuple[str, ...], int]) -> Iterator[Mistake]:
    """Find what no value shows by itself."""
    if not config.banks:
        yield Mistake(_line(("banks",), lines), "banks", "needs at least one bank")
    taken = {_port(config.gateway.address): "gateway.address"}
    for name, bank in config.banks.items():
        key = f"banks.{name}.address"
        other = taken.setdefault(_port(bank.address), key)
        if other != key:
            message = f"port {_port(bank.address)} is that of {other} as well"
            yield Mistake(_line(("banks", name, "address"), lines), key, message)
    if config.restart.max_backoff_s < config.restart.backoff_s:
        yield Mistake(
            _line(("restart", "max_backoff"), lines), "restart.max_backoff", "must not be less than backoff"
        )
    if config.liveness.hung_after_s < 2 * config.liveness.interval_s:
        message = "must be at least twice the interval"
        yield Mistake(_line(("liveness", "hung_after"), lines), "liveness.hung_after", message)


def _port(address: str) -> str:
    return address.rpartition(":")[2]
