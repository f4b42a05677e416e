// Judges documents of the API: judge.mjs TOOLS. Standard input has an array of them; the answer is an array with what is wrong with each, `null` if nothing is.

import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const [tools] = process.argv.slice(2);
const entry = pathToFileURL(`${tools}/node_modules/@seriousme/openapi-schema-validator/index.js`);
const { Validator } = await import(entry);

const verdicts = [];
for (const document of JSON.parse(await text(process.stdin))) {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(document);
  if (!valid) {
    verdicts.push(JSON.stringify(errors));
    continue;
  }
  try {
    // References to what is not there.
    validator.resolveRefs();
    verdicts.push(validator.version === "3.1" ? null : `judged as ${validator.version}`);
  } catch (error) {
    verdicts.push(error.message);
  }
}
console.log(JSON.stringify(verdicts));
