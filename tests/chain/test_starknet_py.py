"""Unmodified starknet-py against a real `medsync chain run`: what anyone's script does first, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from starknet_py.contract import Contract
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.account.account import Account
from starknet_py.net.client_errors import ClientError
from starknet_py.net.client_models import (
    Call,
    PreConfirmedStarknetBlock,
    ResourceBounds,
    ResourceBoundsMapping,
    SierraContractClass,
    StarknetBlock,
    TransactionExecutionStatus,
    TransactionFinalityStatus,
    TransactionStatus,
)
from starknet_py.net.full_node_client import FullNodeClient
from starknet_py.net.signer.key_pair import KeyPair
from starknet_py.transaction_errors import TransactionRevertedError

from medsync_chain.token import FEE_TOKEN
from tests.chain.process import Running, chain_process
from tests.chain.world import CLASSES

POLL = 0.01  # seconds; starknet-py asks again until it is told
BOUNDS = ResourceBoundsMapping(
    l1_gas=ResourceBounds(10**5, 10**14),
    l1_data_gas=ResourceBounds(10**5, 10**9),
    l2_gas=ResourceBounds(10**9, 10**10),
)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with chain_process("--classes", str(CLASSES)) as chain:
        yield chain


def story(running: Running, tell: Callable[[FullNodeClient, Account], Coroutine[Any, Any, None]]) -> None:
    """Runs under asyncio, as starknet-py does by itself, with the first predeployed account."""

    async def run() -> None:
        client = FullNodeClient(node_url=running.url)
        one = running.about["accounts"][0]
        account = Account(
            client=client,
            address=one["address"],
            key_pair=KeyPair.from_private_key(int(one["private_key"], 16)),
            chain=int(await client.get_chain_id(), 16),
        )
        await tell(client, account)

    asyncio.run(run())


def probe_files() -> tuple[str, str]:
    """Sierra, and CASM without hints: starknet-py's schema refuses those of newer compilers, and they are not hashed."""
    casm = json.loads((CLASSES / "probe.casm.json").read_text())
    return (CLASSES / "probe.sierra.json").read_text(), json.dumps({**casm, "hints": []})


def test_declare_deploy_invoke_call_and_read_events(running: Running) -> None:
    async def tell(client: FullNodeClient, account: Account) -> None:
        sierra, casm = probe_files()
        declared = await Contract.declare_v3(
            account, compiled_contract=sierra, compiled_contract_casm=casm, auto_estimate=True
        )
        await declared.wait_for_acceptance(check_interval=POLL)
        deployed = await declared.deploy_v3(constructor_args=[0], auto_estimate=True)
        await deployed.wait_for_acceptance(check_interval=POLL)
        probe = deployed.deployed_contract
        calls = [
            probe.functions["set"].prepare_invoke_v3(1, 5),
            probe.functions["events"].prepare_invoke_v3(3, 2, 2),
        ]
        sent = await account.execute_v3(calls, auto_estimate=True)
        receipt = await client.wait_for_tx(sent.transaction_hash, check_interval=POLL)
        assert receipt.execution_status is TransactionExecutionStatus.SUCCEEDED
        assert receipt.finality_status is TransactionFinalityStatus.ACCEPTED_ON_L2
        assert receipt.actual_fee.amount > 0 and len(receipt.events) == 4
        assert await probe.functions["get"].call(1) == (5,)
        found = await client.get_events(
            address=probe.address, from_block_number=0, to_block_number="latest", chunk_size=2
        )
        assert len(found.events) == 2 and found.continuation_token is not None
        again = await Contract.from_address(probe.address, account)
        assert set(again.functions) == set(probe.functions)
        with pytest.raises(ClientError) as caught:
            await probe.functions["fail"].call(0x4E4F)
        assert caught.value.code == 40
        assert caught.value.data["revert_error"]["error"] == '["0x4e4f"]'
        with pytest.raises(ClientError) as caught:
            await probe.functions["fail"].invoke_v3(0x4E4F, auto_estimate=True)
        assert caught.value.code == 41 and caught.value.data["transaction_index"] == 0
        reverted = await probe.functions["fail"].invoke_v3(0x4E4F, resource_bounds=BOUNDS)
        with pytest.raises(TransactionRevertedError, match="0x4e4f"):
            await reverted.wait_for_acceptance(check_interval=POLL)
        assert await client.get_transaction_status(reverted.hash) is not None

    story(running, tell)


def test_blocks_states_and_classes_parse(running: Running) -> None:
    async def tell(client: FullNodeClient, account: Account) -> None:
        call = Call(FEE_TOKEN, get_selector_from_name("transfer"), [0x55, 3, 0])
        sent = await account.execute_v3(call, resource_bounds=BOUNDS)
        await client.wait_for_tx(sent.transaction_hash, check_interval=POLL)
        latest = await client.get_block("latest")
        assert isinstance(latest, StarknetBlock) and latest.transactions[0].hash == sent.transaction_hash
        assert isinstance(await client.get_block("pre_confirmed"), PreConfirmedStarknetBlock)
        with_receipts = await client.get_block_with_receipts(block_number="latest")
        assert with_receipts.transactions[0].receipt.transaction_hash == sent.transaction_hash
        update = await client.get_state_update(block_number="latest")
        assert update.new_root == latest.new_root != update.old_root
        assert isinstance(await client.get_class_at(contract_address=FEE_TOKEN), SierraContractClass)
        class_hash = await client.get_class_hash_at(contract_address=FEE_TOKEN)
        assert isinstance(await client.get_class_by_hash(class_hash), SierraContractClass)
        assert await client.get_block_number() == latest.block_number
        assert (await client.get_block_hash_and_number()).block_hash == latest.block_hash
        assert await client.get_block_transaction_count(block_number="latest") == 1
        assert await client.spec_version() == "0.10.2"
        assert await client.get_syncing_status() is False
        assert (await client.get_transaction(sent.transaction_hash)).hash == sent.transaction_hash
        assert (
            await client.get_transaction_by_block_id(0, block_number="latest")
        ).hash == sent.transaction_hash
        status = await client.get_transaction_status(sent.transaction_hash)
        assert status.finality_status is TransactionStatus.ACCEPTED_ON_L2
        balance = await account.get_balance(token_address=FEE_TOKEN)
        assert 0 < balance < 10**21

    story(running, tell)


def test_estimates_hold_and_simulations_show_every_call(running: Running) -> None:
    async def tell(client: FullNodeClient, account: Account) -> None:
        call = Call(FEE_TOKEN, get_selector_from_name("transfer"), [0x56, 3, 0])
        signed = await account.sign_invoke_v3(call, resource_bounds=BOUNDS)
        simulated = (await client.simulate_transactions([signed]))[0]
        trace = simulated.transaction_trace
        assert trace.validate_invocation is not None and trace.fee_transfer_invocation is not None
        assert trace.execute_invocation.calls[0].contract_address == FEE_TOKEN
        estimated = await client.estimate_fee(signed)
        assert estimated.overall_fee == simulated.fee_estimation.overall_fee
        sent = await client.send_transaction(signed)
        receipt = await client.wait_for_tx(sent.transaction_hash, check_interval=POLL)
        assert receipt.actual_fee.amount == estimated.overall_fee

    story(running, tell)


def test_refusals_carry_the_specifications_codes(running: Running) -> None:
    async def tell(client: FullNodeClient, account: Account) -> None:
        call = Call(FEE_TOKEN, get_selector_from_name("transfer"), [0x57, 3, 0])

        async def code_of(attempt: Coroutine[Any, Any, Any]) -> str:
            with pytest.raises(ClientError) as caught:
                await attempt
            return str(caught.value.code)

        assert await code_of(account.execute_v3(call, nonce=10**6, resource_bounds=BOUNDS)) == "52"
        stranger = Account(
            client=client,
            address=account.address,
            key_pair=KeyPair.from_private_key(5),
            chain=account.signer.chain_id,
        )
        assert await code_of(stranger.execute_v3(call, resource_bounds=BOUNDS)) == "55"
        rich = ResourceBoundsMapping(
            l1_gas=BOUNDS.l1_gas, l2_gas=ResourceBounds(2**60, 2**60), l1_data_gas=BOUNDS.l1_data_gas
        )
        assert await code_of(account.execute_v3(call, resource_bounds=rich)) == "54"
        poor = ResourceBoundsMapping.init_with_zeros()
        assert await code_of(account.execute_v3(call, resource_bounds=poor)) == "65"
        assert await code_of(client.get_transaction_receipt(0x123)) == "29"
        assert await code_of(client.get_block(block_number=10**6)) == "24"
        assert await code_of(client.get_class_by_hash(0x123)) == "28"
        assert await code_of(client.call_contract(Call(0x123, 0x1, []))) == "20"
        assert await code_of(client.call_contract(Call(FEE_TOKEN, 0x1, []))) == "21"

    story(running, tell)


def test_an_account_is_deployed_by_its_own_transaction(running: Running) -> None:
    async def tell(client: FullNodeClient, account: Account) -> None:
        from starknet_py.hash.address import compute_address

        keys = KeyPair.from_private_key(424242)
        class_hash = int(running.about["account_class"], 16)
        address = compute_address(class_hash=class_hash, constructor_calldata=[keys.public_key], salt=1)
        fund = Call(FEE_TOKEN, get_selector_from_name("transfer"), [address, 10**20, 0])
        sent = await account.execute_v3(fund, resource_bounds=BOUNDS)
        await client.wait_for_tx(sent.transaction_hash, check_interval=POLL)
        result = await Account.deploy_account_v3(
            address=address,
            class_hash=class_hash,
            salt=1,
            key_pair=keys,
            client=client,
            constructor_calldata=[keys.public_key],
            auto_estimate=True,
        )
        await result.wait_for_acceptance(check_interval=POLL)
        assert await result.account.get_nonce() == 1

    story(running, tell)
