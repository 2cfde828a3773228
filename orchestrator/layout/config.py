"""cluster.yaml, read strictly: every mistake at once, each with its line and key.

YAML has traps that would be found in production: ``NO`` is false, ``12:30`` is 750, and
of two equal keys the last wins. Here scalars stay the text that was written, keys may
not repeat, and what a value means is decided by the model that it is for.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from nodes.core.money import EXPONENTS
from nodes.core.names import (
    BANK_NAME_RULE,
    CLUSTER_NAME_RULE,
    is_address,
    is_bank_name,
    is_cluster_name,
)
from orchestrator.layout.yaml_text import Mistake, YamlDocument
from orchestrator.links.addresses import GATEWAY, Link, make_links

_DURATION = re.compile(r"(?P<number>[0-9]{1,6}(\.[0-9]{1,3})?)(?P<unit>ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_MAX_S = 3600.0
_EVERYWHERE = ("0.0.0.0", "[::]")  # noqa: S104 - looked for, not listened at
_GIVE_UP = re.compile(r"(?P<starts>[0-9]{1,4}) starts in (?P<window>\S+)")


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
    if not 0 < seconds <= _DURATION_MAX_S:
        raise ValueError("must be more than 0 and at most 1h")
    return seconds


def _parse_give_up(value: object) -> tuple[int, float]:
    match = _GIVE_UP.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match["starts"]) < 1:
        raise ValueError(f"{value!r} is not of the form '5 starts in 10s'")
    return int(match["starts"]), _parse_duration(match["window"])


def _check_address(value: str) -> str:
    if is_address(value):
        return value
    if value.rpartition(":")[2].isdecimal() and is_address(f"{value.rpartition(':')[0]}:1"):
        raise ValueError(f"{value!r} is not host:port: the port must be 1 to 65535")
    raise ValueError(f"{value!r} is not host:port; write it like localhost:50052")


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


def _check_profile(value: object) -> object:
    if value not in ("standard", "test"):
        raise ValueError(f"{value!r} is no profile; there are standard and test")
    return value


def _check_path(value: object) -> object:
    if value == "":
        raise ValueError("must be the path of a file; leave the key out for the default")
    if isinstance(value, str) and not value.isprintable():
        raise ValueError(f"{value!r} is not the path of a file")
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
    profile: Annotated[Literal["standard", "test"], BeforeValidator(_check_profile)] = "standard"
    currency: Annotated[str, AfterValidator(_check_currency)] = "INR"
    gateway: GatewayConfig = GatewayConfig()
    banks: dict[BankName, BankConfig]
    users: Annotated[Path, BeforeValidator(_check_path)] = Path("users.json")
    restart: RestartConfig = RestartConfig()
    liveness: LivenessConfig = LivenessConfig()

    @property
    def is_test(self) -> bool:
        """Whether it may be broken on purpose from inside; this key alone permits it, never the environment."""
        return self.profile == "test"

    @property
    def addresses(self) -> dict[str, str]:
        """Where each node listens, the gateway first."""
        return {GATEWAY: self.gateway.address, **{name: bank.address for name, bank in self.banks.items()}}

    @property
    def links(self) -> tuple[Link, ...]:
        """What the nodes of a test cluster reach each other through; none otherwise."""
        return make_links(self.addresses) if self.is_test else ()

    def address_for(self, dialler: str, server: str) -> str:
        """Return where ``dialler`` reaches ``server``: through their link, if there is one."""
        links = {(link.dialler, link.server): link.address for link in self.links}
        return links.get((dialler, server), self.addresses[server])


# -- reading ------------------------------------------------------------------------


class ProfileForbids(Exception):
    """What was asked for is for test clusters; the message says how a cluster becomes one."""


def demand_test_profile(config: ClusterConfig, path: Path, what: str) -> None:
    """Raise `ProfileForbids` unless cluster.yaml at ``path`` says that this cluster is for tests."""
    if not config.is_test:
        raise ProfileForbids(
            f"{what} are for test clusters alone, and {path} has the profile standard; "
            "for a cluster without real money write `profile: test` there, then `cluster down` and `cluster up`"
        )


_BLOCKS: dict[tuple[str, ...], type[_Model]] = {
    (): ClusterConfig,
    ("gateway",): GatewayConfig,
    ("restart",): RestartConfig,
    ("liveness",): LivenessConfig,
}
"""What each block is read as; one of a bank's is not among them."""


def load(path: Path) -> ClusterConfig:
    """Read cluster.yaml; raises `ConfigMistaken`. ``users`` comes back absolute."""
    try:
        document = YamlDocument(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigMistaken(path, [Mistake(0, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigMistaken(path, [Mistake(0, "", "is not UTF-8 text")]) from error
    if not document.is_yaml:
        raise ConfigMistaken(path, document.mistakes)
    mistakes = [*document.mistakes, *_find_clashes(document)]
    try:
        config = ClusterConfig.model_validate(document.content)
    except ValidationError as error:
        raise ConfigMistaken(
            path, [*mistakes, *(_explain(found, document) for found in error.errors())]
        ) from error
    if mistakes:
        raise ConfigMistaken(path, mistakes)
    return config.model_copy(update={"users": path.absolute().parent / config.users})


def _explain(found: Any, document: YamlDocument) -> Mistake:
    """Say what pydantic found, in the words of who wrote the file."""
    key = tuple(str(part) for part in found["loc"] if part != "[key]")
    message = found["msg"].removeprefix("Value error, ")
    match found["type"]:
        case "extra_forbidden":
            near = get_close_matches(key[-1], _BLOCKS.get(key[:-1], BankConfig).model_fields, n=1)
            advice = f"is it {near[0]}?" if near else "see the commented cluster.yaml for those that are"
            message = f"there is no such key; {advice}"
        case "missing":
            message = "is missing"
        case "model_type" | "model_attributes_type" | "dict_type":
            message = f"must be a block of keys, not {str(found['input'])[:40]!r}"
        case "string_type" | "path_type":
            message = "must be a plain text"
    return Mistake(document.find_line(key), ".".join(key), message)


def _find_clashes(document: YamlDocument) -> Iterator[Mistake]:
    """Find what no value shows by itself, even where other values are wrong."""
    banks = document.block("banks")
    if document.block().get("banks") == {}:
        yield Mistake(document.find_line(("banks",)), "banks", "needs at least one bank")
    keys = [("gateway", "address"), *(("banks", name, "address") for name in banks)]
    taken: dict[str, str] = {}
    for key in keys:
        written = document.block(*key[:-1]).get("address", GatewayConfig().address if len(key) == 2 else "")
        address = written if isinstance(written, str) else ""
        port = address.rpartition(":")[2] if is_address(address) else ""
        other = taken.setdefault(port.lstrip("0"), ".".join(key)) if port else ".".join(key)
        if other != ".".join(key):
            yield Mistake(document.find_line(key), ".".join(key), f"port {port} is that of {other} as well")
        if document.block().get("profile") == "test" and address.rpartition(":")[0] in _EVERYWHERE:
            message = "in a test cluster nodes listen at this machine alone: write localhost"
            yield Mistake(document.find_line(key), ".".join(key), message)
    yield from _find_reversals(document)


def _find_reversals(document: YamlDocument) -> Iterator[Mistake]:
    restart, liveness = RestartConfig(), LivenessConfig()
    try:
        restart = RestartConfig.model_validate(document.block("restart"))
        liveness = LivenessConfig.model_validate(document.block("liveness"))
    except ValidationError:
        pass  # told already, by what found it
    if restart.max_backoff_s < restart.backoff_s:
        message = "must not be less than backoff"
        yield Mistake(document.find_line(("restart", "max_backoff")), "restart.max_backoff", message)
    if liveness.hung_after_s < 2 * liveness.interval_s:
        message = "must be at least twice the interval"
        yield Mistake(document.find_line(("liveness", "hung_after")), "liveness.hung_after", message)
