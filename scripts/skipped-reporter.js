/** Prints each skipped test with what it needs; with NO_SKIPS=1 a skipped test fails the run. */
export default class SkippedReporter {
  onInit(vitest) {
    this.filtered = Boolean(vitest.config.testNamePattern || vitest.config.tagsFilter);
  }

  onTestRunEnd(modules) {
    const skipped = modules.flatMap((file) => [...file.children.allTests('skipped')]);
    const lines = skipped
      .map((test) => ({ test, reason: reasonOf(test) }))
      // Tests excluded by --testNamePattern and --tags-filter count as skipped too.
      .filter(({ reason }) => reason || !this.filtered)
      .map(
        ({ test, reason }) =>
          `  ${test.module.relativeModuleId} > ${test.fullName}: ${reason ?? 'no reason given'}`,
      );
    if (lines.length === 0) return;
    console.log(`\n${lines.length} skipped:\n${lines.join('\n')}`);
    if (process.env.NO_SKIPS === '1') {
      console.error('NO_SKIPS=1: skipped tests fail the run');
      process.exitCode = 1;
    }
  }
}

/** Returns what the test, or a group around it, needs and does not have. */
function reasonOf(test) {
  for (let task = test; task && task.type !== 'module'; task = task.parent) {
    const { needs } = task.meta();
    if (needs) return `needs ${needs}`;
  }
  const { note } = test.result();
  return note;
}
