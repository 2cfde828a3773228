"""Messages that were read over the network once and are gone through several times: kept until that is done."""

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Generic, Self, TypeVar

from google.protobuf.message import Message

Page = TypeVar("Page", bound=Message)

_LENGTH_BYTES = 4
_MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""What is kept in memory: the disk of a cluster under load is busy. What is more goes to a file without a name."""


class Spool(Generic[Page]):
    """Keeps ``pages``, to go through them as often as is wanted. Use it as a context: its end frees the room."""

    def __init__(self, kind: type[Page], pages: Iterable[Page]) -> None:
        self._kind = kind
        self._count = 0
        self._file = SpooledTemporaryFile(_MEMORY_BYTES_MAX)  # noqa: SIM115 - closed by the context that this is
        try:
            for page in pages:
                written = page.SerializeToString()
                self._file.write(len(written).to_bytes(_LENGTH_BYTES) + written)
                self._count += 1
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def pages(self) -> Iterator[Page]:
        """Yield the pages from the first on; several may be under way at once, in one thread."""
        at = 0
        # Counted, and not read to a length of 0: a page may hold nothing, as one of links that a recovery gave up.
        for _ in range(self._count):
            length = int.from_bytes(self._read(at, _LENGTH_BYTES))
            at += _LENGTH_BYTES + length
            yield self._kind.FromString(self._read(at - length, length))

    def _read(self, at: int, length: int) -> bytes:
        self._file.seek(at)
        return self._file.read(length)
