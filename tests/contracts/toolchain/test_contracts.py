"""Components, events, dispatchers and storage of compiled Cairo, against what Starknet documents."""

from __future__ import annotations

import functools
import pytest
from medsync_chain.keccak import selector
from medsync_chain.vm.pedersen import pedersen
from tests.contracts.toolchain.world import BOB, BYTE_ARRAY, EVE, OWNER, World, short_string, text, u256

pytestmark = pytest.mark.long  # compiles four contracts


def place(*keys: int) -> int:
    """Where a map keeps the value of these keys."""
    return functools.reduce(pedersen, keys)


def test_a_token_with_an_owner_component_and_a_router_that_dispatches(world: World) -> None:
    T, R = world.addresses["token"], world.addresses["router"]
    world.gives(text("A token with a name of more than thirty-one bytes"), "token", "name")
    world.gives(text("TOK"), "token", "symbol")
    world.gives([18], "token", "decimals")
    world.gives(u256(1000), "token", "total_supply")
    world.gives(u256(1000), "token", "balance_of", OWNER)
    world.gives([OWNER], "token", "owner")
    world.gives([1], "token", "transfer", BOB, u256(300), caller=OWNER)
    assert world.told() == [(T, [selector("Transfer"), OWNER, BOB], u256(300))], world.told()
    world.panics("ERC20: balance 300 is less than 301", "token", "transfer", EVE, u256(301), caller=BOB)
    world.panics("ERC20: transfer to 0", "token", "transfer", 0, u256(1), caller=BOB)
    world.gives([1], "token", "approve", EVE, u256(50), caller=BOB)
    world.gives(u256(50), "token", "allowance", BOB, EVE)
    world.gives(u256(0), "token", "allowance", EVE, BOB)
    assert world.told() == []
    world.gives([1], "token", "transfer_from", BOB, EVE, u256(20), caller=EVE)
    world.gives(u256(30), "token", "allowance", BOB, EVE)
    world.panics("ERC20: insufficient allowance", "token", "transfer_from", BOB, EVE, u256(31), caller=EVE)
    world.gives([1], "token", "approve", EVE, u256(2**256 - 1), caller=BOB)
    world.gives([1], "token", "transfer_from", BOB, EVE, u256(280), caller=EVE)
    world.gives(u256(2**256 - 1), "token", "allowance", BOB, EVE)
    world.gives(u256(300), "token", "balance_of", EVE)
    world.gives(u256(0), "token", "balance_of", BOB)
    world.panics("Caller is not the owner", "token", "mint", BOB, u256(1), caller=BOB)
    world.gives([], "token", "mint", BOB, u256(2**200), caller=OWNER)
    world.gives(u256(2**200 + 1000), "token", "total_supply")
    world.panics("u256_add Overflow", "token", "mint", BOB, u256(2**256 - 1), caller=OWNER)
    world.gives(u256(15), "token", "airdrop", [3, 7, 8, 9], u256(5), caller=OWNER)
    world.gives(u256(5), "token", "balance_of", 9)
    assert len(world.told()) == 0
    world.gives([], "token", "airdrop_range", 100, 4, u256(6), caller=OWNER)
    assert [e[1][2] for e in world.told()] == [100, 101, 102, 103]
    world.gives(u256(6), "token", "balance_of", 103)
    world.gives(u256(0), "token", "balance_of", 104)
    world.panics("New owner is the zero address", "token", "transfer_ownership", 0, caller=OWNER)
    world.gives([], "token", "transfer_ownership", BOB, caller=OWNER)
    assert world.told() == [
        (T, [selector("OwnableEvent"), selector("OwnershipTransferred"), OWNER, BOB], [])
    ], world.told()
    world.gives([BOB], "token", "owner")
    world.panics("Caller is not the owner", "token", "transfer_ownership", EVE, caller=OWNER)
    world.gives([1], "token", "transfer", R, u256(100), caller=OWNER)
    world.gives([2, *u256(10), *u256(15)], "router", "send", T, [2, 55, 8], u256(10))
    world.panics("ENTRYPOINT_FAILED", "router", "send", T, [1, 55], u256(1000))
    world.gives([short_string("sent")], "router", "try_send", T, 56, u256(1))
    world.gives([BYTE_ARRAY], "router", "try_send", T, 56, u256(1000))


def test_maps_vectors_nodes_enums_and_packed_values_lie_where_they_should(world: World) -> None:
    world.gives([*u256(0), *u256(2**130), *u256(2**130 + 1)], "store", "nested", 1, 2, 3, u256(2**130))
    world.gives([*u256(2**130 + 1), *u256(5), *u256(6)], "store", "nested", 1, 2, 3, u256(5))
    world.gives([*u256(0), *u256(9), *u256(10)], "store", "nested", 1, 3, 3, u256(9))
    assert (
        world.cell(place(selector("nested"), 1, 2, 3)) == 6
        and world.cell(place(selector("nested"), 1, 3, 3)) == 10
    )
    world.gives([8, 9], "store", "tuples", 6, 7, 8, 9)
    assert [world.cell(place(selector("tuples"), 6, 7), i) for i in (0, 1)] == [8, 9]
    world.gives(
        [3, 4, 4, 777, short_string("new"), 3, 777, short_string("new")],
        "store",
        "subs",
        3,
        4,
        short_string("new"),
    )
    assert [world.cell(selector("b"), i) for i in range(5)] == [3, 4, 4, 777, short_string("new")]
    world.gives([1, 0, 5], "store", "option", 0, 5)
    world.gives([0, 5, 1], "store", "option", 1)
    world.gives([1, 0, 0], "store", "option", 0, 0)
    world.gives([1, 12, 13, 12013], "store", "shape", 1, 12, 13)
    world.gives([2, *u256(2**129), 2**129], "store", "shape", 2, *u256(2**129))
    world.panics("unwrap failed", "store", "shape_part", 5)
    world.gives([2, *u256(77), 77], "store", "shape", 2, *u256(77))
    world.gives([82], "store", "shape_part", 5)
    assert [world.cell(selector("shape"), i) for i in range(3)] == [2, 82, 0]
    world.gives([1, 12, 13, 12013], "store", "shape", 1, 12, 13)
    world.gives([12018], "store", "shape_part", 5)
    assert [world.cell(selector("shape"), i) for i in range(3)] == [1, 12, 18]
    world.gives([0, short_string("nothing")], "store", "shape", 0)
    world.gives([0], "store", "shape_part", 5)
    world.gives([2**32 - 1, 2**64 - 1], "store", "packed", 2**32 - 1, 2**64 - 1)
    assert world.cell(selector("packed")) == 2**96 - 1
    for s in ("", "short", "x" * 31, "y" * 32, "z" * 700):
        world.gives([*text(s), len(s)], "store", "bytes", text(s))
    world.gives([11, 1, 0, 2, 38], "store", "node", 77, 5, 10)
    world.gives([11, 1, 0, 4, 38], "store", "node", 77, 5, 10)
    world.gives([21, 1, 0, 2, 38], "store", "node", 78, 6, 20)
    assert (
        world.cell(place(selector("voters"), 77, selector("weight"))) == 10
        and world.cell(place(selector("voters"), 77, selector("votes"), 5)) == 1
        and world.cell(place(selector("voters"), 77, selector("history"), 1)) == 6
    )
    assert (
        world.cell(place(selector("chair"), selector("weight"))) == 1
        and world.cell(place(selector("chair"), selector("votes"), 6)) == 1
        and [world.cell(place(selector("voters"), 77, selector("spot")), i) for i in (0, 1)] == [31, 32]
    )
    world.gives([4, 11, 1, 99], "store", "vec", [3, 1, 2, 3])
    assert world.cell(selector("list")) == 4 and [
        world.cell(place(selector("list"), i)) for i in range(4)
    ] == [11, 99, 3, 1000]
    world.gives([2 * 1113], "store", "vec_sum")
    world.gives([102], "store", "vec_range", 1, 3)
    world.gives([0], "store", "vec_range", 2, 2)
    world.gives([3], "store", "vec_at", 2)
    world.gives([1102], "store", "vec_range", 1, 5)
    world.gives([0], "store", "vec_range", 6, 9)
    world.gives([0], "store", "vec_range", 3, 1)
    world.panics("Index out of bounds", "store", "vec_at", 4)
    world.gives([0, 1000], "store", "vec_pop")
    world.panics("Index out of bounds", "store", "vec_at", 3)
    for v in (3, 99, 11):
        world.gives([0, v], "store", "vec_pop")
    world.gives([1], "store", "vec_pop")
    world.gives([0], "store", "vec_sum")
    world.gives([3, 15], "store", "map_of_vec", 4, [3, 4, 5, 6])
    world.gives([4, 16], "store", "map_of_vec", 4, [1, 1])
    world.gives([1, 9], "store", "map_of_vec", 5, [1, 9])
    world.gives([6, 7], "store", "packed_map", 255, 6, 7)
    assert world.cell(place(selector("packs"), 255)) == 7 << 32 | 6
    for i in range(4):
        world.call("store", "tuples", short_string("k"), i, i + 1, 10)
    world.gives([100], "store", "sum_pairs", 4)
    world.gives([selector("b")], "store", "address_of")
