import { disk } from '../../io/node/disk.js';
import { leftoversOf } from '../../io/node/temporary.js';

/** Names of files that only their own run can use: indices, hidden states, and statistics that are not complete. */
const USELESS = /\.(scratch|states)$|\.statistics\.[^.]+\.partial$/;

/** Removes files that interrupted runs on this machine left and that no run can continue from. @param statistics path of saved statistics. */
export async function removeUseless(output: string, statistics: string | undefined): Promise<void> {
  const ofOutput = (await leftoversOf(output)).filter(({ path }) => USELESS.test(path));
  const ofStatistics = statistics === undefined ? [] : await leftoversOf(statistics, 'partial');
  for (const { path, isDead } of [...ofOutput, ...ofStatistics])
    if (isDead) await disk.unlink(path).catch(() => {}); // another run may have removed it
}
