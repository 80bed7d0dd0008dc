// The tables against a naive model: any records, any cuts into commits, restarts and failed commits in between.
import fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { duckdb } from '../../sinks/duckdb.ts';
import { deskBed, deskTable } from './deskBed.ts';

let bed: Awaited<ReturnType<typeof deskBed>> | undefined;
afterEach(() => bed?.clean());

type Op =
  | { readonly kind: 'row'; readonly key: string | null; readonly window: number | undefined }
  | { readonly kind: 'gone'; readonly key: string | null };

const key = fc.constantFrom('a', 'b', '', 'ü', null);
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('row' as const), key, window: fc.option(fc.constantFrom(0, 60_000), { nil: undefined }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('gone' as const), key }) },
);
const runs = fc.array(fc.array(op, { minLength: 1, maxLength: 60, size: 'max' }), { minLength: 1, maxLength: 3 });
const mode = fc.constantFrom('upsert' as const, 'append' as const, undefined);

const rowOf = (window: number | undefined, n: number): object => (window === undefined ? { n } : { startMs: window, endMs: window + 1, n });

/** What the table should hold: [key, window, n], n being the record's number. */
function expected(ops: readonly Op[], mode: 'upsert' | 'append' | undefined): string[] {
  let rows: { key: string | null; window: number | undefined; n: number }[] = [];
  for (const [n, next] of ops.entries())
    if (next.kind === 'gone') {
      if (mode !== 'append') rows = rows.filter((row) => row.key !== next.key);
    } else {
      const hasIdentity = mode === 'upsert' || (mode === undefined && next.window !== undefined);
      if (hasIdentity) rows = rows.filter((row) => row.key !== next.key || row.window !== next.window);
      rows.push({ key: next.key, window: next.window, n });
    }
  return rows.map((row) => JSON.stringify([row.key, row.window ?? null, row.n])).sort();
}

it('holds what the model holds', { timeout: 180_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(mode, runs, fc.integer({ min: 1, max: 20 }), fc.nat(4), async (mode, batches, rowsMax, failAt) => {
      bed = await deskBed([deskTable(duckdb('t', mode === undefined ? {} : { mode }))]);
      // In each life of the desk one commit fails, if it comes to that many.
      let commits = 0;
      const onPoint = () => {
        if (++commits === failAt) throw new Error('IO Error: played');
      };
      let n = 0;
      for (const batch of batches) {
        commits = 0;
        bed.start({ rowsMax, onPoint, flushMs: 1 });
        await bed.put(batch.map((next) => [next.key, next.kind === 'gone' ? null : rowOf(next.window, n + batch.indexOf(next))]));
        n += batch.length;
        await bed.rows('SELECT 1');
        await bed.stop();
      }
      const columns = await bed.read("SELECT column_name c FROM duckdb_columns() WHERE table_name = 't'");
      const names = new Set(columns.map(({ c }) => c));
      const rows = await bed.read(
        `SELECT key, ${names.has('window_start') ? 'epoch_ms(window_start)' : 'NULL'} w, ${names.has('n') ? 'n' : 'NULL'} n FROM t`,
      );
      expect(rows.map((row) => JSON.stringify([row.key, row.w === null ? null : Number(row.w), row.n])).sort()).toEqual(
        expected(batches.flat(), mode),
      );
      await bed.clean();
    }),
    { numRuns: 15 },
  );
});
