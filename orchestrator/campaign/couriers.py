"""The courier processes of a campaign: started, killed and started again, told to finish."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from nodes.client import Item, Outbox
from orchestrator.lifecycle.driven import DrivenCluster
from orchestrator.links.addresses import CLIENT, GATEWAY
from orchestrator.supervision.processes import clean_environment, open_output


def courier_users(count: int) -> list[str]:
    """Return the users that couriers pay as."""
    return [f"offline-{number}" for number in range(count)]


class Couriers:
    """Some couriers, each with a user and an outbox of its own."""

    def __init__(self, cluster: DrivenCluster, users: list[str]) -> None:
        self._cluster = cluster
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._users = users

    def start(self) -> None:
        """Start all of them."""
        for user in self._users:
            self._spawn(user)

    def kill_one(self, number: int) -> str:
        """Kill one with signal 9, start it again, and return whose it is."""
        user = self._users[number % len(self._users)]
        with self._lock:
            process = self._processes[user]
            process.kill()
            self._reap(process)
            self._spawn(user)
        return user

    def tell_to_finish(self) -> None:
        """Have all save no more, deliver what waits, and end."""
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()

    def finish(self, until_s: float) -> list[str]:
        """Wait for all to end; return the users of those that had not delivered all by ``until_s`` (monotonic)."""
        failed = [user for user, process in self._processes.items() if not self._has_finished(process, until_s)]
        self._processes.clear()
        return failed

    def kill(self) -> None:
        """End all of them, at once."""
        for process in self._processes.values():
            process.kill()
            self._reap(process)
        self._processes.clear()

    def outbox_path(self, user: str) -> Path:
        """Return where a courier's outbox lies."""
        return self._cluster.folder.state / f"outbox-{user}.db"

    def items(self) -> list[Item]:
        """Return all that is in the outboxes; call it when no courier runs."""
        return [item for user in self._users for item in Outbox(self.outbox_path(user)).items(user, limit=2**31)]

    def _spawn(self, user: str) -> None:
        folder = self._cluster.folder
        flags = {
            "address": self._cluster.config.address_for(CLIENT, GATEWAY),
            "user": user,
            "banks": ",".join(self._cluster.config.banks),
            "outbox": self.outbox_path(user),
            "ca": folder.ca_certificate,
            "certificate": folder.shell_certificate,
            "key": folder.shell_key,
        }
        command = [sys.executable, "-P", "-m", "orchestrator.campaign.courier"]
        with open_output(folder.logs / f"{user}.stderr") as output:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*command, *(f"--{name}={value}" for name, value in flags.items())],
                stdin=subprocess.PIPE,
                stderr=output,
                env=clean_environment(),
            )
        assert process.stdin is not None
        process.stdin.write(self._cluster.password.encode() + b"\n")
        process.stdin.flush()
        self._processes[user] = process

    @staticmethod
    def _has_finished(process: "subprocess.Popen[bytes]", until_s: float) -> bool:
        try:
            return process.wait(max(0.0, until_s - time.monotonic())) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False

    @staticmethod
    def _reap(process: "subprocess.Popen[bytes]") -> None:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
