// Drives a Starknet node with starknet.js as it comes: declare, deploy, send, read, fail, hash typed data, check a proof.
// Says what came of it as one JSON object. Arguments: a file with everything it needs, in JSON.
import { readFileSync } from "node:fs";
import { Account, Contract, RpcProvider, hash, shortString, typedData } from "starknet";

const given = JSON.parse(readFileSync(process.argv[2], "utf8"));
const said = {};
const provider = new RpcProvider({ nodeUrl: given.url });
const account = new Account({ provider, address: given.account, signer: given.secret });

said.spec = await provider.getSpecVersion();
said.chain = await provider.getChainId();
said.nonce = await account.getNonce();

const sierra = JSON.parse(readFileSync(given.sierra, "utf8"));
const casm = JSON.parse(readFileSync(given.casm, "utf8"));
sierra.abi = JSON.parse(sierra.abi);
const made = await account.declareAndDeploy({ contract: sierra, casm, constructorCalldata: [], unique: true });
said.class_hash = made.declare.class_hash;
said.deployed_class = await provider.getClassHashAt(made.deploy.contract_address);

// A transfer of the fee token, its receipt and its event.
const transfer = { contractAddress: given.token, entrypoint: "transfer", calldata: [given.recipient, "123", "0"] };
const estimate = await account.estimateInvokeFee(transfer);
said.estimated = estimate.overall_fee > 0n;
const simulated = await account.simulateTransaction([{ type: "INVOKE", ...transfer }]);
said.simulated = (simulated.simulated_transactions ?? simulated).length;
const sent = await account.execute(transfer);
const receipt = await provider.waitForTransaction(sent.transaction_hash);
said.succeeded = receipt.isSuccess();
said.events = receipt.value.events.filter((event) => BigInt(event.from_address) === BigInt(given.token)).length > 0;
const balance = await provider.callContract({
  contractAddress: given.token, entrypoint: "balance_of", calldata: [given.recipient],
});
said.balance = balance.map(String);

// The contract's views by its ABI, and its reason when it refuses.
const anchor = new Contract({ abi: sierra.abi, address: made.deploy.contract_address, providerOrAccount: provider });
const head = await anchor.head(7);
said.head = [String(head[0]), String(head[1])];
try {
  await account.execute({ contractAddress: made.deploy.contract_address, entrypoint: "execute_recovery",
    calldata: Array(11).fill("1") });
  said.refusal = "none";
} catch (error) {
  const reason = shortString.encodeShortString("UNKNOWN_CONTEXT"); // nodes give reasons as felts
  said.refusal = String(error.message).includes(reason) ? "UNKNOWN_CONTEXT" : String(error.message);
}
try {
  await provider.getTransactionReceipt("0x5");
} catch (error) {
  said.unknown_transaction = error.baseError?.code ?? error.code;
}

// A block with its transactions, the state's change, paged events.
const block = await provider.getBlockWithTxs("latest");
said.block = block.status;
said.update = BigInt((await provider.getStateUpdate("latest")).new_root) !== 0n;
const page = await provider.getEvents({
  address: given.token, from_block: { block_number: 0 }, to_block: "latest", chunk_size: 1, keys: [],
});
said.continues = Boolean(page.continuation_token);

// What a payee signs, as a wallet would hash it.
said.claim = typedData.getMessageHash(given.claim.typed_data, given.claim.account);
said.selector = hash.getSelectorFromName("claim");

// A proof file, checked by nothing but the contract and this library.
const proof = given.proof;
const [, place] = proof.address.split(":");
const contract = place.split("/")[1];
const statement = ["context", "k", "prev", "members", "next_members", "consent_root", "log_root", "log_size",
  "reward_root", "detail", "not_before"].map((name) => String(proof.statement[name]));
const { key, value, term_key: termKey, siblings } = proof.consent;
const answer = await provider.callContract({
  contractAddress: contract, entrypoint: "verify_consent_at",
  calldata: [...statement, key, value, termKey, String(siblings.length), ...siblings],
});
said.proof = answer.map(String);
said.proof_class = await provider.getClassHashAt(contract);

console.log(JSON.stringify(said));
