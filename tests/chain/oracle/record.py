"""Records what StarkWare's own VM answers, for `test_differential.py`. Not a test; runs by hand, in a venv of its own.

    python3.11 -m venv VENV && VENV/bin/pip install cairo-lang==0.13.3
    VENV/bin/python tests/chain/oracle/record.py CLASS.casm.json CALLS.json RECORDS.json.gz

CLASS must be compiled with `--add-pythonic-hints`; CALLS is a list of [selector, [calldata…]] in hex. RECORDS gets, per
call: selector, calldata, whether it panicked, the felts it gave, steps, builtin instances and gas used.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import gzip
import json
import sys
from pathlib import Path
from typing import Any

ENTRY_POINT_BUDGET = 10_000


def _accept_old_dataclasses() -> None:
    """cairo-lang 0.13.3 was written for Python 3.9: dataclasses that are compared had hashes."""
    original = dataclasses._process_class  # type: ignore[attr-defined]

    def process(cls: type, *options: Any) -> Any:
        init, shown, eq, order, unsafe_hash, frozen, *rest = options
        if eq and not frozen and "__hash__" not in cls.__dict__:
            unsafe_hash = True
        return original(cls, init, shown, eq, order, unsafe_hash, frozen, *rest)

    dataclasses._process_class = process  # type: ignore[attr-defined]


def _take_entry_point_budget() -> None:
    """Newer compilers expect 10,000 gas to be taken before an entry point runs, and give back what is left of it."""
    from starkware.starknet.business_logic.execution import execute_entry_point

    original = execute_entry_point.os_utils.prepare_os_implicit_args

    def prepare(runner: Any, gas: int) -> Any:
        return original(runner=runner, gas=gas - ENTRY_POINT_BUDGET)

    execute_entry_point.os_utils.prepare_os_implicit_args = prepare


async def _record(class_file: str, calls_file: str) -> list[dict[str, Any]]:
    from starkware.starknet.business_logic.execution.execute_entry_point import (
        ExecuteEntryPoint,
        ExecutionResourcesManager,
    )
    from starkware.starknet.business_logic.execution.objects import TransactionExecutionContext
    from starkware.starknet.business_logic.state.state import StateSyncifier
    from starkware.starknet.core.os.contract_class.compiled_class_hash import compute_compiled_class_hash
    from starkware.starknet.services.api.contract_class.contract_class import CompiledClass
    from starkware.starknet.testing.state import StarknetState

    document = json.loads(Path(class_file).read_text())
    document["hints"] = []  # it runs the pythonic ones
    compiled = CompiledClass.load(document)
    chain = await StarknetState.empty()
    compiled_hash = compute_compiled_class_hash(compiled)
    chain.state.compiled_classes[compiled_hash] = compiled
    await chain.state.set_compiled_class_hash(class_hash=1, compiled_class_hash=compiled_hash)
    await chain.state.set_class_hash_at(contract_address=2, class_hash=1)
    loop = asyncio.get_running_loop()
    records = []
    for selector, calldata in json.loads(Path(calls_file).read_text()):
        call = ExecuteEntryPoint.create_for_testing(
            contract_address=2,
            calldata=[int(felt, 16) for felt in calldata],
            entry_point_selector=int(selector, 16),
        )
        info = await loop.run_in_executor(
            None,
            functools.partial(
                call.execute,
                state=StateSyncifier(async_state=chain.state, loop=loop),
                resources_manager=ExecutionResourcesManager.empty(),
                tx_execution_context=TransactionExecutionContext.create_for_testing(n_steps=1_000_000),
                general_config=chain.general_config,
                support_reverted=True,
            ),
        )
        used = info.execution_resources
        records.append(
            {
                "selector": selector,
                "calldata": calldata,
                "panicked": bool(info.failure_flag),
                "felts": [hex(felt) for felt in info.retdata],
                "steps": used.n_steps,
                "builtins": {name: count for name, count in used.builtin_instance_counter.items() if count},
                "gas": info.gas_consumed,
                "initial_gas": call.initial_gas,
            }
        )
        if len(records) % 50 == 0:
            print(len(records), file=sys.stderr)
    return records


def main() -> None:
    _accept_old_dataclasses()
    _take_entry_point_budget()
    class_file, calls_file, records_file = sys.argv[1:]
    records = asyncio.run(_record(class_file, calls_file))
    with gzip.GzipFile(records_file, "wb", mtime=0) as file:
        file.write(json.dumps(records, separators=(",", ":")).encode())


if __name__ == "__main__":
    main()
