// What every log adapter owes, as one suite: the embedded log, the memory log and later Kafka run the same file.
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { partitionOf } from '../../engine/partitioner.ts';
import type { LogPort, OutputBuffer, StateRow, TaskClaim, TaskCommit, TopicSpec } from '../../engine/ports.ts';
import { type Headers, noHeaders } from '../../engine/record.ts';

/** A log under test and what is done to it from outside. */
export interface LogHarness {
  readonly log: LogPort;
  /** Closes the log and opens the same data again. Absent where nothing outlives the process. */
  reopen?(): Promise<LogPort>;
  /** Compacts compacted topics now. Absent where the log decides that alone. */
  compact?(): Promise<void>;
  /** Makes the next commit answer 'unknown'. Absent where it cannot be played. */
  loseNextAnswer?(commit: 'happened' | 'did not happen'): void;
  /** Closes the log and removes what it left. */
  dispose(): Promise<void>;
}

export interface ReadRecord {
  readonly offset: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly timeMs: number;
  readonly headers: readonly (readonly [string, string])[];
}

const latin1 = (bytes: Buffer, start: number, end: number): string | null => (start < 0 ? null : bytes.toString('latin1', start, end));

/** Reads a partition from `from` to its present end, and checks on the way what every fetch owes. */
export async function readAll(
  log: Pick<LogPort, 'fetch' | 'bounds'>,
  topic: string,
  partition: number,
  from?: number,
): Promise<ReadRecord[]> {
  const records: ReadRecord[] = [];
  let offset = from ?? (await log.bounds(topic, partition)).startOffset;
  for (;;) {
    const [fetched] = await log.fetch([{ topic, partition, offset }], { waitMs: 0 });
    if (fetched === undefined) throw new Error('no answer for a wanted partition');
    expect(fetched).toMatchObject({ topic, partition });
    expect(fetched.nextOffset).toBeLessThanOrEqual(fetched.endOffset);
    fetched.batches.forEach((batch, b) => {
      if (b > 0) expect(batch.baseOffset).toBeGreaterThanOrEqual(offset);
      for (let i = 0; i < batch.count; i++) {
        const at = batch.baseOffset + (batch.offsetDelta[i] as number);
        if (at < offset) continue;
        if (records.length > 0) expect(at).toBeGreaterThan((records.at(-1) as ReadRecord).offset);
        records.push({
          offset: at,
          key: latin1(batch.bytes, batch.keyStart[i] as number, batch.keyEnd[i] as number),
          value: latin1(batch.bytes, batch.valueStart[i] as number, batch.valueEnd[i] as number),
          timeMs: batch.timeMs[i] as number,
          headers: Object.entries(batch.headers(i)).map(([name, value]) => [name, Buffer.from(value).toString('latin1')] as const),
        });
      }
    });
    if (fetched.nextOffset === offset) return records;
    offset = fetched.nextOffset;
  }
}

/** Bytes of text, or null. */
export const bytes = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text, 'latin1'));

async function stateOf(claim: TaskClaim): Promise<[string, string, string][]> {
  const rows: [string, string, string][] = [];
  for await (const { store, key, value } of claim.state)
    rows.push([store, Buffer.from(key).toString('latin1'), Buffer.from(value as Uint8Array).toString('latin1')]);
  return rows;
}

function row(store: string, key: string, value: string | null): StateRow {
  return { store, key: bytes(key) as Buffer, value: bytes(value) };
}

/** The commit after `claim`, or after `commitNumber`. */
function commitOf(
  claim: TaskClaim,
  checkpoint: string,
  state: readonly StateRow[] = [],
  commitNumber = claim.commitNumber + 1,
): TaskCommit {
  return { claim, commitNumber, checkpoint: Buffer.from(checkpoint), state };
}

/** Runs the contract against what `open` makes, a fresh log for each test. */
export function logContract(adapter: string, open: () => Promise<LogHarness>): void {
  describe(`log contract: ${adapter}`, () => {
    let harness: LogHarness;
    let log: LogPort;
    /** Names are new in each test: a cluster is shared by all of them. */
    let id: string;
    let topic: string;
    const spec = (name: string, more: Partial<TopicSpec> = {}): TopicSpec => ({
      name,
      partitions: 1,
      cleanup: 'delete',
      keepMs: Infinity,
      ...more,
    });

    beforeEach(async () => {
      harness = await open();
      log = harness.log;
      id = randomUUID().slice(0, 8);
      topic = `readings-${id}`;
      await log.ensureTopics([spec(topic, { partitions: 3 })]);
    });
    afterEach(() => harness.dispose());

    function buffer(
      ...records: [topic: string, partition: number, key: string | null, value: string | null, timeMs?: number, headers?: Headers][]
    ): OutputBuffer {
      const output = log.newBuffer();
      for (const [t, p, key, value, timeMs = 0, headers = noHeaders] of records)
        output.add(t, p, bytes(key), bytes(value), timeMs, headers);
      return output;
    }
    const append = (...records: Parameters<typeof buffer>) => log.append(buffer(...records));
    const values = async (t: string, p: number, from?: number) => (await readAll(log, t, p, from)).map(({ value }) => value);
    const claimOne = async (pipeline: string, partition = 0) => (await log.claim(pipeline, [partition]))[0] as TaskClaim;

    describe('topics', () => {
      it('accepts a topic that is there already, and a new time to keep it', async () => {
        await log.ensureTopics([spec(topic, { partitions: 3 })]);
        await log.ensureTopics([spec(topic, { partitions: 3, keepMs: 5_000 })]);
        expect((await log.listTopics()).find(({ name }) => name === topic)).toMatchObject({
          partitions: 3,
          cleanup: 'delete',
          keepMs: 5_000,
        });
      });

      it('refuses another partition count or cleanup, and creates nothing then', async () => {
        for (const wrong of [spec(topic, { partitions: 4 }), spec(topic, { partitions: 3, cleanup: 'compact' })]) {
          await expect(log.ensureTopics([spec(`new-${id}`), wrong])).rejects.toMatchObject({ code: 'E_TOPIC_CONFLICT' });
        }
        expect((await log.listTopics()).map(({ name }) => name)).not.toContain(`new-${id}`);
      });

      it('refuses a spec that no log can hold', async () => {
        for (const wrong of [
          spec('no spaces'),
          spec('t', { partitions: 0 }),
          spec('t', { partitions: 1.5 }),
          spec('t', { keepMs: 0 }),
          spec('t', { keepMs: Number.NaN }),
        ])
          await expect(log.ensureTopics([wrong])).rejects.toMatchObject({ code: 'E_CONFIG' });
      });

      it('names what is missing', async () => {
        const unknown = { code: 'E_UNKNOWN_TOPIC' };
        await expect(log.bounds('nope', 0)).rejects.toMatchObject(unknown);
        await expect(log.bounds(topic, 3)).rejects.toMatchObject(unknown);
        await expect(log.fetch([{ topic: 'nope', partition: 0, offset: 0 }], { waitMs: 0 })).rejects.toMatchObject(unknown);
        await expect(log.offsetForTime('nope', 0, 0)).rejects.toMatchObject(unknown);
        await expect(log.trim('nope', 0, 1)).rejects.toMatchObject(unknown);
        await expect((async () => append(['nope', 0, 'k', 'v']))()).rejects.toMatchObject(unknown);
        await expect((async () => append([topic, 3, 'k', 'v']))()).rejects.toMatchObject(unknown);
      });

      it('reads an empty topic as empty, at once', async () => {
        const { startOffset, endOffset } = await log.bounds(topic, 1);
        expect(endOffset).toBe(startOffset);
        const [fetched] = await log.fetch([{ topic, partition: 1, offset: startOffset }], { waitMs: 0 });
        expect(fetched).toMatchObject({ batches: [], nextOffset: startOffset, endOffset, startOffset });
        expect(await log.offsetForTime(topic, 1, 0)).toBe(endOffset);
      });
    });

    describe('records', () => {
      it('keeps keys, values, times and headers to the byte, null, empty, binary and unicode ones', async () => {
        const key = Buffer.from('dev/üñí-温度').toString('latin1');
        const headers = Object.assign(Object.create(null), {
          'mqtt.topic': Buffer.from('a/b'),
          __proto__: null,
          '': Buffer.alloc(0),
        }) as Headers;
        const binary = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
        await append(
          [topic, 0, key, binary, 1_700_000_000_123, headers],
          [topic, 0, binary, '', 1],
          [topic, 0, null, null, 0],
          [topic, 0, '', null, -5],
        );
        expect(
          (await readAll(log, topic, 0)).map(({ key: k, value, timeMs, headers: h }) => ({ key: k, value, timeMs, headers: h })),
        ).toEqual([
          {
            key,
            value: binary,
            timeMs: 1_700_000_000_123,
            headers: [
              ['mqtt.topic', 'a/b'],
              ['', ''],
            ],
          },
          { key: binary, value: '', timeMs: 1, headers: [] },
          { key: null, value: null, timeMs: 0, headers: [] },
          { key: '', value: null, timeMs: -5, headers: [] },
        ]);
      });

      it('keeps the order of each partition, over many appends at once', async () => {
        const wanted = Array.from({ length: 300 }, (_, i) => String(i));
        await Promise.all(wanted.map((value, i) => append([topic, i % 3, 'k', value])));
        for (const p of [0, 1, 2]) expect(await values(topic, p)).toEqual(wanted.filter((_, i) => i % 3 === p));
      });

      it('says when it took a batch', async () => {
        const before = Date.now();
        await append([topic, 0, 'k', 'v']);
        const [fetched] = await log.fetch([{ topic, partition: 0, offset: 0 }], { waitMs: 0 });
        const at = fetched?.batches[0]?.appendTimeMs as number;
        expect(at).toBeGreaterThanOrEqual(before);
        expect(at).toBeLessThanOrEqual(Date.now());
      });

      it('takes records of 900 kB and refuses larger ones, adding nothing', async () => {
        const large = 'x'.repeat(900_000 - 2);
        const output = buffer([topic, 0, 'k', large], [topic, 0, 'k', 'small'], [topic, 0, 'k', large]);
        expect(() => output.add(topic, 0, null, Buffer.alloc(1_000_000), 0, noHeaders)).toThrow(/E_TOO_LARGE/);
        expect(() => output.add(topic, 0, Buffer.alloc(500_000), Buffer.alloc(400_000), 0, { h: Buffer.alloc(100_000) })).toThrow(
          /E_TOO_LARGE/,
        );
        expect(output.recordCount).toBe(3);
        await log.append(output);
        expect((await values(topic, 0)).map((value) => value?.length)).toEqual([large.length, 5, large.length]);
      });

      it('counts what a buffer holds', () => {
        const output = log.newBuffer();
        expect(output).toMatchObject({ recordCount: 0, byteCount: 0 });
        output.add(topic, 0, null, Buffer.alloc(1_000), 0, noHeaders);
        expect(output.recordCount).toBe(1);
        expect(output.byteCount).toBeGreaterThanOrEqual(1_000);
      });

      it('places keys as Java does', async () => {
        // Vectors of reference/semantics.md 2.15, made with Kafka's own client: murmur2 of the key bytes, 12 partitions.
        const int64 = Buffer.alloc(8);
        int64.writeBigInt64BE(42n);
        const vectors = [
          ['', 9],
          ['a', 4],
          ['b', 8],
          ['sensor-1', 1],
          ['sensor-2', 7],
          ['device-42', 9],
          ['dev/üñí', 8],
          [int64, 4],
        ] as const;
        const twelve = `twelve-${id}`;
        await log.ensureTopics([spec(twelve, { partitions: 12 })]);
        const output = log.newBuffer();
        for (const [key, partition] of vectors) {
          const keyBytes = typeof key === 'string' ? Buffer.from(key, 'utf8') : key;
          expect(partitionOf(keyBytes, 12), String(key)).toBe(partition);
          output.add(twelve, partitionOf(keyBytes, 12), keyBytes, null, 0, noHeaders);
        }
        await log.append(output);
        expect((await readAll(log, twelve, 9)).map(({ key }) => key)).toEqual(['', 'device-42']);
      });
    });

    describe('fetch', () => {
      it('gives several partitions at once, each from its own position', async () => {
        await append([topic, 0, 'k', 'a'], [topic, 0, 'k', 'b'], [topic, 2, 'k', 'c']);
        const second = (await readAll(log, topic, 0))[1]?.offset as number;
        const fetched = await log.fetch(
          [
            { topic, partition: 2, offset: 0 },
            { topic, partition: 0, offset: second },
            { topic, partition: 1, offset: 0 },
          ],
          { waitMs: 0 },
        );
        expect(fetched.map(({ partition, batches }) => [partition, batches.length])).toEqual([
          [2, 1],
          [0, 1],
          [1, 0],
        ]);
        expect(await values(topic, 0, second)).toEqual(['b']);
      });

      it('stops adding batches past the size asked for, but always gives one', async () => {
        for (let i = 0; i < 5; i++) await append([topic, 0, 'k', 'x'.repeat(10_000)]);
        const [one] = await log.fetch([{ topic, partition: 0, offset: 0 }], { waitMs: 0, partitionBytesMax: 1 });
        expect(one?.batches.length).toBe(1);
        expect(one?.nextOffset).toBeLessThan(one?.endOffset as number);
        const [two] = await log.fetch([{ topic, partition: 0, offset: 0 }], { waitMs: 0, partitionBytesMax: 15_000 });
        expect(two?.batches.length).toBe(2);
      });

      it('wakes when something is appended, and gives up after the wait', async () => {
        const waiting = log.fetch([{ topic, partition: 1, offset: 0 }], { waitMs: 20_000 });
        await append([topic, 1, 'k', 'v']);
        expect((await waiting)[0]?.batches.length).toBe(1);
        const start = performance.now();
        const { endOffset } = await log.bounds(topic, 1);
        expect((await log.fetch([{ topic, partition: 1, offset: endOffset }], { waitMs: 60 }))[0]?.batches).toEqual([]);
        expect(performance.now() - start).toBeGreaterThanOrEqual(55);
      });

      it('wakes when something is committed', async () => {
        const claim = await claimOne(`wake-${id}`);
        const waiting = log.fetch([{ topic, partition: 1, offset: 0 }], { waitMs: 20_000 });
        expect(await log.commit([commitOf(claim, 'c1')], buffer([topic, 1, 'k', 'v']))).toBe('committed');
        expect((await waiting)[0]?.batches.length).toBe(1);
      });

      it('refuses positions the log does not hold', async () => {
        await append([topic, 0, 'k', 'v']);
        const { endOffset } = await log.bounds(topic, 0);
        for (const offset of [-1, endOffset + 1])
          await expect(log.fetch([{ topic, partition: 0, offset }], { waitMs: 0 })).rejects.toMatchObject({
            code: 'E_OFFSET_OUT_OF_RANGE',
          });
      });

      it('finds the first record at or after a time, in whatever order times come', async () => {
        await append([topic, 0, 'k', 'a', 100], [topic, 0, 'k', 'b', 300]);
        await append([topic, 0, 'k', 'c', 200]);
        const offsets = (await readAll(log, topic, 0)).map(({ offset }) => offset);
        expect(await log.offsetForTime(topic, 0, 0)).toBe(offsets[0]);
        expect(await log.offsetForTime(topic, 0, 100)).toBe(offsets[0]);
        expect(await log.offsetForTime(topic, 0, 101)).toBe(offsets[1]);
        expect(await log.offsetForTime(topic, 0, 300)).toBe(offsets[1]);
        expect(await log.offsetForTime(topic, 0, 301)).toBe((await log.bounds(topic, 0)).endOffset);
      });
    });

    describe('trim and compaction', () => {
      it('forgets what was trimmed, also from the middle of a batch', async () => {
        await append([topic, 0, 'k', 'a'], [topic, 0, 'k', 'b']);
        await append([topic, 0, 'k', 'c'], [topic, 0, 'k', 'd']);
        const offsets = (await readAll(log, topic, 0)).map(({ offset }) => offset);
        await log.trim(topic, 0, offsets[3] as number);
        expect((await log.bounds(topic, 0)).startOffset).toBe(offsets[3]);
        expect(await values(topic, 0)).toEqual(['d']);
        await expect(log.fetch([{ topic, partition: 0, offset: offsets[2] as number }], { waitMs: 0 })).rejects.toMatchObject({
          code: 'E_OFFSET_OUT_OF_RANGE',
        });
        await log.trim(topic, 0, offsets[1] as number);
        expect((await log.bounds(topic, 0)).startOffset).toBe(offsets[3]);
        const { endOffset } = await log.bounds(topic, 0);
        await log.trim(topic, 0, endOffset + 100);
        expect(await log.bounds(topic, 0)).toEqual({ startOffset: endOffset, endOffset });
        await append([topic, 0, 'k', 'e']);
        expect(await values(topic, 0)).toEqual(['e']);
      });

      it('keeps the latest record of each key at its offset', async ({ skip }) => {
        if (harness.compact === undefined) return skip();
        const table = `table-${id}`;
        await log.ensureTopics([spec(table, { cleanup: 'compact' })]);
        await append([table, 0, 'a', '1'], [table, 0, 'b', '1'], [table, 0, 'a', '2']);
        await append([table, 0, 'c', '1', 7, { h: Buffer.from('x') }], [table, 0, 'b', null]);
        await append([table, 0, 'a', '3'], [table, 0, 'a', '4']);
        const before = await readAll(log, table, 0);
        const { endOffset } = await log.bounds(table, 0);
        await harness.compact();
        const after = await readAll(log, table, 0);
        expect(after).toEqual(
          before.filter(({ key, value }) => (key === 'a' && value === '4') || key === 'c' || (key === 'b' && value === null)),
        );
        expect((await log.bounds(table, 0)).endOffset).toBe(endOffset);
        expect(await readAll(log, table, 0, (before[1] as ReadRecord).offset)).toEqual(after);
        await append([table, 0, 'a', '5']);
        await harness.compact();
        expect(await values(table, 0)).toEqual(['1', null, '5']);
      });

      it('reads past a compacted end', async ({ skip }) => {
        if (harness.compact === undefined) return skip();
        const table = `table-${id}`;
        await log.ensureTopics([spec(table, { cleanup: 'compact' })]);
        await append([table, 0, 'a', '1'], [table, 0, null, 'goes']);
        await harness.compact();
        const { endOffset } = await log.bounds(table, 0);
        const [fetched] = await log.fetch([{ topic: table, partition: 0, offset: 0 }], { waitMs: 0 });
        expect(fetched?.nextOffset).toBe(endOffset);
        expect(await values(table, 0)).toEqual(['1']);
      });
    });

    describe('commit', () => {
      it('assigns every task to the one who joins', async () => {
        const assigned: number[] = [];
        const membership = await log.join(`p-${id}`, 3, {
          assigned: async (partitions) => void assigned.push(...partitions),
          revoked: async () => {},
          lost: () => {},
        });
        expect(assigned.sort()).toEqual([0, 1, 2]);
        await membership.leave();
      });

      it('makes outputs, state rows and checkpoints of all tasks visible together', async () => {
        const pipeline = `p-${id}`;
        const other = `results-${id}`;
        await log.ensureTopics([spec(other)]);
        const claims = await log.claim(pipeline, [0, 1]);
        expect(claims.map(({ commitNumber, checkpoint }) => [commitNumber, checkpoint])).toEqual([
          [0, undefined],
          [0, undefined],
        ]);
        const output = buffer([topic, 0, 'k', 'out-0'], [topic, 2, 'k', 'out-2'], [other, 0, 'k', 'result']);
        const tasks = claims.map((claim, i) => commitOf(claim, `checkpoint-${i}`, [row('windows', `key-${i}`, `value-${i}`)]));
        expect(await log.commit(tasks, output)).toBe('committed');
        await log.durable();
        expect([await values(topic, 0), await values(topic, 2), await values(other, 0)]).toEqual([['out-0'], ['out-2'], ['result']]);
        expect([...(await log.checkpoints(pipeline))].map(([p, checkpoint]) => [p, Buffer.from(checkpoint).toString()])).toEqual([
          [0, 'checkpoint-0'],
          [1, 'checkpoint-1'],
        ]);
        const again = await log.claim(pipeline, [0, 1]);
        expect(again.map(({ commitNumber, checkpoint }) => [commitNumber, Buffer.from(checkpoint as Uint8Array).toString()])).toEqual([
          [1, 'checkpoint-0'],
          [1, 'checkpoint-1'],
        ]);
        expect(await Promise.all(again.map(stateOf))).toEqual([[['windows', 'key-0', 'value-0']], [['windows', 'key-1', 'value-1']]]);
      });

      it('gives state back by store and key, the last value of each, whatever the keys are', async () => {
        const pipeline = `p-${id}`;
        const claim = await claimOne(pipeline);
        const long = (c: string) => c.repeat(3_000);
        await log.commit(
          [
            commitOf(claim, '1', [
              row('b', 'x', '1'),
              row('b', long('m'), 'long'),
              row('a', 'y', ''),
              row('b', '\0', 'nul'),
              row('b', '', 'empty'),
              row('b', 'gone', '1'),
              row('b', long('\xff'), 'last'),
            ]),
          ],
          buffer(),
        );
        await log.commit(
          [
            commitOf(
              claim,
              '2',
              [row('b', 'gone', null), row('b', 'x', '2'), row('b', 'ÿ', 'high'), row('a', 'never', null), row('b', long('m'), 'long 2')],
              2,
            ),
          ],
          buffer(),
        );
        expect(await stateOf(await claimOne(pipeline))).toEqual([
          ['a', 'y', ''],
          ['b', '', 'empty'],
          ['b', '\0', 'nul'],
          ['b', long('m'), 'long 2'],
          ['b', 'x', '2'],
          ['b', 'ÿ', 'high'],
          ['b', long('\xff'), 'last'],
        ]);
        expect(await stateOf(await claimOne(`${pipeline}2`))).toEqual([]);
        expect(await stateOf(await claimOne(pipeline, 1))).toEqual([]);
        expect((await log.checkpoints(`${pipeline}2`)).size).toBe(0);
      });

      it('answers lost to a former owner and leaves nothing of its commit', async () => {
        const pipeline = `p-${id}`;
        const [zero, one] = (await log.claim(pipeline, [0, 1])) as [TaskClaim, TaskClaim];
        expect(await log.commit([commitOf(zero, 'z1', [row('s', 'k', '1')]), commitOf(one, 'o1')], buffer([topic, 0, 'k', 'first']))).toBe(
          'committed',
        );
        const taken = await claimOne(pipeline, 1);
        const late = [commitOf(zero, 'z2', [row('s', 'k', '2')], 2), commitOf(one, 'o2', [], 2)];
        expect(await log.commit(late, buffer([topic, 0, 'k', 'second'], [topic, 1, 'k', 'second']))).toBe('lost');
        expect(await log.resolve(late)).toBe('lost');
        expect([await values(topic, 0), await values(topic, 1)]).toEqual([['first'], []]);
        expect(await log.commit([commitOf(taken, 'o2')], buffer([topic, 1, 'k', 'third']))).toBe('committed');
        expect(await values(topic, 1)).toEqual(['third']);
        const again = await claimOne(pipeline, 0);
        expect([again.commitNumber, await stateOf(again)]).toEqual([1, [['s', 'k', '1']]]);
        expect(await log.commit([commitOf(zero, 'z2', [], 2)], buffer([topic, 0, 'k', 'fenced']))).toBe('lost');
      });

      it('commits without outputs, and without state', async () => {
        const claim = await claimOne(`p-${id}`);
        for (let n = 1; n <= 5; n++) expect(await log.commit([commitOf(claim, `c${n}`, [], n)], log.newBuffer())).toBe('committed');
        expect((await claimOne(`p-${id}`)).commitNumber).toBe(5);
      });

      it('refuses a commit out of turn and leaves nothing of it', async () => {
        const claim = await claimOne(`p-${id}`);
        await expect(log.commit([commitOf(claim, 'c', [], 2)], buffer([topic, 0, 'k', 'v']))).rejects.toMatchObject({ code: 'E_ASSERT' });
        expect(await values(topic, 0)).toEqual([]);
        expect((await log.checkpoints(`p-${id}`)).size).toBe(0);
      });

      it('resolves by the checkpoint', async () => {
        const claim = await claimOne(`p-${id}`);
        const first = commitOf(claim, 'c1');
        expect(await log.resolve([first])).toBe('aborted');
        await log.commit([first], buffer());
        expect(await log.resolve([first])).toBe('committed');
        expect(await log.resolve([commitOf(claim, 'c2', [], 2)])).toBe('aborted');
        // Neither this commit nor the one before it: somebody else has been at the checkpoint.
        expect(await log.resolve([commitOf(claim, 'c7', [], 7)])).toBe('lost');
        await claimOne(`p-${id}`);
        expect(await log.resolve([first])).toBe('lost');
      });

      it('resolves an unknown outcome both ways', async ({ skip }) => {
        if (harness.loseNextAnswer === undefined) return skip();
        const claim = await claimOne(`p-${id}`);
        const first = commitOf(claim, 'c1', [row('s', 'k', '1')]);
        harness.loseNextAnswer('did not happen');
        expect(await log.commit([first], buffer([topic, 0, 'k', 'once']))).toBe('unknown');
        expect(await log.resolve([first])).toBe('aborted');
        expect(await values(topic, 0)).toEqual([]);
        harness.loseNextAnswer('happened');
        expect(await log.commit([first], buffer([topic, 0, 'k', 'once']))).toBe('unknown');
        expect(await log.resolve([first])).toBe('committed');
        expect(await values(topic, 0)).toEqual(['once']);
        expect(await log.commit([commitOf(claim, 'c2', [], 2)], buffer())).toBe('committed');
      });

      it('survives a restart: topics, records, positions, state', async ({ skip }) => {
        if (harness.reopen === undefined) return skip();
        const claim = await claimOne(`p-${id}`);
        const output = buffer([topic, 0, 'k', 'a'], [topic, 2, 'k', 'b']);
        await log.commit([commitOf(claim, 'c1', [row('s', 'k'.repeat(2_500), '1')])], output);
        await append([topic, 0, 'k', 'c']);
        await log.trim(topic, 2, 1);
        const [before, bounds] = [await readAll(log, topic, 0), await log.bounds(topic, 2)];
        log = await harness.reopen();
        expect(await readAll(log, topic, 0)).toEqual(before);
        expect(await log.bounds(topic, 2)).toEqual(bounds);
        await log.ensureTopics([spec(topic, { partitions: 3 })]);
        await expect(log.ensureTopics([spec(topic, { partitions: 5 })])).rejects.toMatchObject({ code: 'E_TOPIC_CONFLICT' });
        const again = await claimOne(`p-${id}`);
        expect([again.commitNumber, Buffer.from(again.checkpoint as Uint8Array).toString(), await stateOf(again)]).toEqual([
          1,
          'c1',
          [['s', 'k'.repeat(2_500), '1']],
        ]);
        await append([topic, 0, 'k', 'd']);
        expect(await values(topic, 0)).toEqual(['a', 'c', 'd']);
      });

      it('does, step by step, what a model of it does', async () => {
        const step = fc.oneof(
          {
            weight: 3,
            arbitrary: fc.record({ kind: fc.constant('append' as const), partition: fc.nat(2), count: fc.integer({ min: 1, max: 4 }) }),
          },
          {
            weight: 3,
            arbitrary: fc.record({
              kind: fc.constant('commit' as const),
              task: fc.nat(1),
              stale: fc.boolean(),
              key: fc.nat(3),
              remove: fc.boolean(),
            }),
          },
          { weight: 1, arbitrary: fc.record({ kind: fc.constant('claim' as const), task: fc.nat(1) }) },
        );
        let run = 0;
        await fc.assert(
          fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
            const pipeline = `model-${id}-${run}`;
            const name = `model-${id}-${run++}`;
            await log.ensureTopics([spec(name, { partitions: 3 })]);
            const records: string[][] = [[], [], []];
            const state = [new Map<string, string>(), new Map<string, string>()];
            const committed = [0, 0];
            const owners = (await log.claim(pipeline, [0, 1])) as TaskClaim[];
            const former: (TaskClaim | undefined)[] = [undefined, undefined];
            let n = 0;
            for (const one of steps) {
              if (one.kind === 'append') {
                const added = Array.from({ length: one.count }, () => `r${n++}`);
                await append(...added.map((value): [string, number, string, string] => [name, one.partition, 'k', value]));
                records[one.partition]?.push(...added);
              } else if (one.kind === 'claim') {
                former[one.task] = owners[one.task];
                owners[one.task] = await claimOne(pipeline, one.task);
              } else {
                const claim = (one.stale ? former[one.task] : owners[one.task]) as TaskClaim | undefined;
                if (claim === undefined) continue;
                const value = `c${n++}`;
                const number = (committed[one.task] as number) + 1;
                const change = row('s', `k${one.key}`, one.remove ? null : value);
                const outcome = await log.commit([commitOf(claim, value, [change], number)], buffer([name, one.task, 'k', value]));
                expect(outcome).toBe(one.stale ? 'lost' : 'committed');
                if (one.stale) continue;
                committed[one.task] = number;
                records[one.task]?.push(value);
                if (one.remove) state[one.task]?.delete(`k${one.key}`);
                else state[one.task]?.set(`k${one.key}`, value);
              }
            }
            for (const p of [0, 1, 2]) expect(await values(name, p)).toEqual(records[p]);
            for (const [task, claim] of (await log.claim(pipeline, [0, 1])).entries()) {
              expect(claim.commitNumber).toBe(committed[task]);
              expect(await stateOf(claim)).toEqual(
                [...(state[task] as Map<string, string>)].sort().map(([key, value]) => ['s', key, value]),
              );
            }
          }),
          { numRuns: 30, verbose: 1 },
        );
      });
    });
  });
}
