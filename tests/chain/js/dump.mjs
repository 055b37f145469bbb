// Lays down the compiled classes of @hyperlane-xyz/starknet-core as NAME.sierra.json and NAME.casm.json: node dump.mjs TO
import fs from "fs";
import path from "path";

const to = process.argv[2];
const entry = import.meta.resolve("@hyperlane-xyz/starknet-core");
const from = path.join(path.dirname(new URL(entry).pathname), "artifacts");
for (const file of fs.readdirSync(from).filter((name) => name.endsWith("contract_class.js"))) {
  const [name, kind] = file.split(".");
  const [held] = Object.values(await import(path.join(from, file)));
  const sierra = kind === "contract_class";
  fs.writeFileSync(path.join(to, `${name}.${sierra ? "sierra" : "casm"}.json`), JSON.stringify(held));
}
