// Validates R4 resources (an array of JSON in the file named) by the npm package fhir; prints what it found of each.
import { readFileSync } from "node:fs";
import fhir from "fhir/fhir.js";

const validator = new fhir.Fhir();
const resources = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const found = resources.map((resource) => {
  const result = validator.validate(resource, { errorOnUnexpected: true });
  return { valid: result.valid, messages: result.messages.filter((one) => one.severity === "error" || one.severity === "fatal") };
});
process.stdout.write(JSON.stringify(found) + "\n");
