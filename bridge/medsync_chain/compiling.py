"""Where the CASM of a declared class comes from: folders of compiled classes, else a Sierra compiler.

The chain runs nothing else: code that no Sierra compiler made could do what the machine takes for impossible.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medsync_chain.classes import ContractClass, SierraClass
from medsync_chain.errors import Code, Unacceptable

__all__ = ["Compilations", "installed_folders", "load_class", "own_folder"]

GROUP = "medsync.classes"  # entry points that name folders of compiled classes: `package:folder`
PATIENCE = 60.0  # seconds for the compiler; the largest class allowed takes a few
_SHOWN = 400  # characters of what the compiler says


def own_folder() -> Path:
    """The classes that the chain itself starts with."""
    return Path(__file__).parent / "artifacts"


def installed_folders() -> list[Path]:
    """Folders that installed packages registered; none of them is imported."""
    found = []
    for point in entry_points(group=GROUP):
        spec = find_spec(point.module)
        places = [] if spec is None else list(spec.submodule_search_locations or [])
        found += [Path(place) / point.attr for place in places]
    return sorted({folder for folder in found if folder.is_dir()})


def load_class(folder: Path, name: str) -> ContractClass:
    """NAME.sierra.json and NAME.casm.json of a folder. Raises OSError, Unacceptable, InvalidClass."""
    sierra = SierraClass.parse(_json(folder / f"{name}.sierra.json"))
    return ContractClass.of(sierra, _json(folder / f"{name}.casm.json"))


@dataclass(slots=True)
class Compilations:
    """Finds or makes the compiled form of declared classes."""

    folders: Iterable[Path] = ()
    compiler: Path | None = None
    _known: dict[int, Path] | None = field(default=None, init=False)  # class hash → the CASM's file

    def compile(self, sierra: SierraClass, compiled_class_hash: int) -> ContractClass:
        """Raises Unacceptable: error 56 when it can't be compiled, 60 when the hash is another one."""
        compiled = ContractClass.of(sierra, self._casm(sierra))
        if compiled.compiled_class_hash != compiled_class_hash:
            raise Unacceptable(
                Code.COMPILED_CLASS_HASH_MISMATCH,
                f"computed {compiled.compiled_class_hash:#066x}, declared {compiled_class_hash:#066x}",
            )
        return compiled

    def _casm(self, sierra: SierraClass) -> Mapping[str, Any]:
        if self._known is None:
            self._known = dict(self._scan())
        known = self._known.get(sierra.class_hash)
        if known is not None:
            return _json(known)
        if self.compiler is None:
            raise Unacceptable(
                Code.COMPILATION_FAILED,
                f"this chain does not know the class {sierra.class_hash:#066x} and has no Sierra compiler: start it "
                "with --classes DIR (NAME.sierra.json beside NAME.casm.json) or --sierra-compiler PATH",
            )
        return _run(self.compiler, sierra)

    def _scan(self) -> Iterator[tuple[int, Path]]:
        for folder in self.folders:
            for path in sorted(folder.glob("*.sierra.json")):
                casm = path.with_name(path.name.replace(".sierra.", ".casm."))
                if casm.exists():
                    yield _class_hash(path), casm


def _class_hash(sierra: Path) -> int:
    hashes = sierra.with_name(sierra.name.replace(".sierra.", ".hashes."))
    if hashes.exists():
        return int(_json(hashes)["class_hash"], 16)
    document = _json(sierra)
    abi = document["abi"] if isinstance(document["abi"], str) else json.dumps(document["abi"])
    return SierraClass.parse({**document, "abi": abi}).class_hash


def _json(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _run(compiler: Path, sierra: SierraClass) -> Mapping[str, Any]:
    document = {**sierra.document, "abi": []}  # compiling does not read it
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "sierra.json"), Path(folder, "casm.json")
        source.write_text(json.dumps(document), encoding="utf-8")
        try:
            done = subprocess.run(
                [compiler, source, target], capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unacceptable(Code.COMPILATION_FAILED, f"the Sierra compiler: {error}") from error
        if done.returncode or not target.exists():
            raise Unacceptable(Code.COMPILATION_FAILED, done.stderr.strip()[:_SHOWN])
        return _json(target)
