"""Chunks on Ray or Dask, where one is installed, behind the same call as on processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, Final, TypeVar

from medsync_protocol.errors import Refused

C = TypeVar("C")
R = TypeVar("R")
ENGINES: Final = ("processes", "ray", "dask")


def on_engine(engine: str, function: Callable[[C], R], chunks: Sequence[C]) -> Iterator[R]:
    """Results as they come. Uses the cluster that the engine's own settings name, else a local one. Raises Refused."""
    if engine not in ENGINES[1:]:
        raise Refused(f"no engine {engine!r}", code="unknown_engine", advice=f"one of {', '.join(ENGINES)}")
    try:
        library: Any = import_module("ray" if engine == "ray" else "distributed")
    except ImportError as error:
        raise Refused(
            f"{engine} is not installed", code="no_engine",
            advice=f"pip install {'ray' if engine == 'ray' else 'distributed'} into this environment",
        ) from error  # fmt: skip
    return _on_ray(library, function, chunks) if engine == "ray" else _on_dask(library, function, chunks)


def _on_ray(ray: Any, function: Callable[[C], R], chunks: Sequence[C]) -> Iterator[R]:
    began = not ray.is_initialized()
    if began:
        ray.init()
    remote = ray.remote(function)
    waiting = [remote.remote(chunk) for chunk in chunks]
    try:
        while waiting:
            ready, waiting = ray.wait(waiting)
            yield from ray.get(ready)
    finally:
        if began:
            ray.shutdown()


def _on_dask(distributed: Any, function: Callable[[C], R], chunks: Sequence[C]) -> Iterator[R]:
    with distributed.Client() as client:
        futures = client.map(function, chunks, pure=False)
        for future in distributed.as_completed(futures):
            yield future.result()
