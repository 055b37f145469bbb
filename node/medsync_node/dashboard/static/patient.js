// A patient's key: made or read in this browser, kept in it so that it can't be taken out, and used to sign revocations.
// What is signed is built here, byte by byte (PROTOCOL §7); the node refuses anything else.
"use strict";

const DOMAIN = "medsync/revocation/1";
const PKCS8_HEAD = "302e020100300506032b657004220420"; // RFC 8410: an Ed25519 seed follows
const mine = document.getElementById("mine");
const state = document.getElementById("key-state");
const tools = document.getElementById("key-tools");

const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hex = (data) => Array.from(new Uint8Array(data), (one) => one.toString(16).padStart(2, "0")).join("");
const join = (parts) => Uint8Array.from(parts.flatMap((part) => Array.from(part)));

// The canonical msgpack subset that a revocation needs: binary strings, whole numbers, arrays.
function packBytes(data) {
  return join([[0xc4, data.length], data]);
}

function packNumber(value) {
  if (value < 128) return Uint8Array.of(value);
  const made = new Uint8Array(9);
  made[0] = 0xcf;
  new DataView(made.buffer).setBigUint64(1, BigInt(value));
  return made;
}

function packArray(items) {
  const head = items.length < 16 ? [0x90 | items.length] : [0xdc, 0, items.length];
  return join([head, ...items]);
}

function revocation(consent, signer) {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const { network, context, subject } = mine.dataset;
  return packArray([
    packNumber(1), ...[network, context, subject].map((one) => packBytes(bytes(one))), packBytes(signer),
    packArray([packBytes(bytes(consent))]), packBytes(new Uint8Array(0)), packNumber(0), packNumber(Date.now()),
    packBytes(salt),
  ]);
}

// One place in this browser for the key pair of this record. Keys are stored as objects whose secret part nobody can read.
function store() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("medsync-patient", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

async function inStore(mode, act) {
  const opened = await store();
  return new Promise((resolve, reject) => {
    const asked = act(opened.transaction("keys", mode).objectStore("keys"));
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

async function keep(secret, publicHex) {
  const held = { secret, publicHex };
  await inStore("readwrite", (keys) => keys.put(held, mine.dataset.subject));
  await show(held);
}

async function make() {
  const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign"]);
  await keep(pair.privateKey, hex(await crypto.subtle.exportKey("raw", pair.publicKey)));
}

async function read(file) {
  const fields = JSON.parse(await file.text());
  if (fields.kind !== "medsync-patient-key" || !/^[0-9a-f]{64}$/.test(fields.seed)) throw new Error("no key");
  const secret = await crypto.subtle.importKey("pkcs8", bytes(PKCS8_HEAD + fields.seed), "Ed25519", false, ["sign"]);
  await keep(secret, fields.public);
}

async function sign(form, held) {
  const document_ = revocation(form.dataset.consent, bytes(held.publicHex));
  const domain = new TextEncoder().encode(DOMAIN);
  const signature = await crypto.subtle.sign("Ed25519", held.secret, join([[domain.length], domain, document_]));
  form.elements.document.value = hex(document_);
  form.elements.signature.value = hex(signature);
}

async function show(held) {
  tools.hidden = false;
  const listed = mine.dataset.keys.split(" ");
  const usable = held !== undefined && listed.includes(held.publicHex);
  if (held === undefined) {
    state.textContent = "There is no key of yours in this browser.";
  } else if (usable) {
    state.textContent = `Your key ${held.publicHex.slice(0, 12)}… is in this browser and can't be taken out of it.`;
  } else {
    state.textContent = `The key ${held.publicHex} in this browser is not on your record yet: give it to your institution, which adds it.`;
  }
  for (const form of document.querySelectorAll("form.revoke")) form.querySelector("button").disabled = !usable;
}

async function start() {
  if (!window.isSecureContext || !crypto.subtle) {
    state.textContent = "This page came over a connection on which a browser lets no key sign: open it over TLS or on the " +
      "machine itself, or use the command line: medsync consent revoke CONTEXT CONSENT --key FILE.";
    return;
  }
  document.getElementById("key-new").addEventListener("click", () => make().catch(failed));
  document.getElementById("key-file").addEventListener("change", (event) => read(event.target.files[0]).catch(failed));
  for (const form of document.querySelectorAll("form.revoke")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await sign(form, await inStore("readonly", (keys) => keys.get(mine.dataset.subject)));
        form.submit();
      } catch (error) {
        failed(error);
      }
    });
  }
  await show(await inStore("readonly", (keys) => keys.get(mine.dataset.subject)));
}

function failed(error) {
  state.textContent = `That did not work (${error.name}): this browser can't make or use such a key, or the file holds none. ` +
    "Try another browser, or the command line: medsync consent revoke CONTEXT CONSENT --key FILE.";
}

start().catch(failed);
