// A process that appends and commits as fast as it can, and prints what the log acknowledged. Killed by the tests.
import { writeSync } from 'node:fs';
import { noHeaders } from '../../engine/record.ts';
import { openEmbeddedLog } from '../../log/embedded/embeddedLog.ts';

const [dir, pauseMs] = process.argv.slice(2) as [string, string];
const log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
await log.ensureTopics([{ name: 't', partitions: 2, cleanup: 'delete', keepMs: Infinity }]);
const [claim] = await log.claim('p', [0]);
if (claim === undefined) throw new Error('no claim');
let next = (await log.bounds('t', 0)).endOffset;
let commitNumber = claim.commitNumber;
writeSync(1, `start ${next} ${commitNumber}\n`);

/** Each append holds a few records with consecutive numbers; several are under way at once. */
async function appendLoop(): Promise<void> {
  for (;;) {
    const buffer = log.newBuffer();
    const first = next;
    for (let i = 0; i < 5; i++) buffer.add('t', 0, Buffer.from('k'), Buffer.from(String(next++)), first, noHeaders);
    await log.append(buffer);
    writeSync(1, `a ${first + 4}\n`);
    if (Number(pauseMs) > 0) await new Promise((resolve) => setTimeout(resolve, Number(pauseMs)));
  }
}

async function commitLoop(): Promise<void> {
  for (;;) {
    const n = ++commitNumber;
    const outputs = log.newBuffer();
    outputs.add('t', 1, Buffer.from('k'), Buffer.from(String(n)), n, noHeaders);
    const state = [{ store: 's', key: Buffer.from('count'), value: Buffer.from(String(n)) }];
    const outcome = await log.commit(
      [{ claim: claim as NonNullable<typeof claim>, commitNumber: n, checkpoint: Buffer.from(String(n)), state }],
      outputs,
    );
    if (outcome !== 'committed') throw new Error(outcome);
    writeSync(1, `c ${n}\n`);
  }
}

await Promise.all([appendLoop(), appendLoop(), appendLoop(), commitLoop()]);
