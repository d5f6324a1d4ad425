import type { Notify } from '../queue/outage.js';
import { Submitter } from '../queue/submit.js';
import { openStore } from '../stores/open.js';
import { identityOfProcess } from './arithmetic.js';
import { Fleet } from './fleet.js';

/** Opens a queue and the store that its workers share. @throws {InputError} when one of them cannot be used. */
export async function openFleet(queue: string, store: string, onNotice?: Notify): Promise<Fleet> {
  const opened = await openStore(store);
  try {
    const identity = await identityOfProcess();
    return new Fleet(
      opened,
      await Submitter.open(queue, identity, { ...(onNotice && { onNotice }) }),
      identity,
    );
  } catch (error) {
    await opened.close();
    throw error;
  }
}
