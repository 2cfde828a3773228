"""Tell whether the stubs fit the .proto files: ``python -m tests.stubs PYTHON``, one that has grpcio-tools."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
_LEFT_OUT = {"access_pb2_grpc.py", "access_pb2_grpc.pyi"}
"""Of a file that has no service: empty, and not kept."""


def find_stale(python: str) -> list[str]:
    """Make the stubs anew, elsewhere, with that Python; return the names of those that differ."""
    source = ROOT / "proto"
    plugins = Path(python).absolute().parent
    with tempfile.TemporaryDirectory() as made:
        command = [
            python, "-m", "grpc_tools.protoc", f"-I{source}", f"--python_out={made}", f"--grpc_python_out={made}",
            f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}", f"--mypy_out=quiet:{made}",
            f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}", f"--mypy_grpc_out=quiet:{made}",
            *map(str, sorted(source.rglob("*.proto"))),
        ]  # fmt: skip
        subprocess.run(command, check=True)
        fresh = {path.name: path.read_text() for path in Path(made).rglob("*.py*") if path.name not in _LEFT_OUT}
    kept = {path.name: path.read_text() for path in source.rglob("*_pb2*.py*") if "__pycache__" not in path.parts}
    return sorted(name for name in {*fresh, *kept} if fresh.get(name) != kept.get(name))


if __name__ == "__main__":
    stale = find_stale(sys.argv[1])
    sys.exit(f"stale stubs, run `make proto`: {', '.join(stale)}" if stale else 0)
