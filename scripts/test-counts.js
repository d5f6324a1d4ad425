// Sums the results of several runs of vitest: `node scripts/test-counts.js RESULTS.json...`. A test that one run excludes by its tags
// and another one runs does not count as skipped.
import { readFileSync } from 'node:fs';

const [passed, failed, skippedBy] = [new Set(), new Set(), new Map()];
const files = process.argv.slice(2);
for (const file of files) {
  for (const { name, status, assertionResults } of JSON.parse(readFileSync(file, 'utf8')).testResults) {
    // A file that does not load has no tests to count.
    if (status === 'failed' && assertionResults.length === 0) failed.add(name);
    const seen = new Map();
    for (const { fullName, status: result } of assertionResults) {
      // Tests of the same name are distinguished by their order.
      const count = seen.get(fullName) ?? 0;
      seen.set(fullName, count + 1);
      const test = `${name} ${fullName} ${count}`;
      if (result === 'passed') passed.add(test);
      else if (result === 'failed') failed.add(test);
      else skippedBy.set(test, (skippedBy.get(test) ?? 0) + 1);
    }
  }
}
const skipped = [...skippedBy.values()].filter((runs) => runs === files.length).length;
console.log(`${passed.size} passed, ${failed.size} failed, ${skipped} skipped`);
