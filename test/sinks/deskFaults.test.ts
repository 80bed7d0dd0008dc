// What happens to the file and the log behind the desk's back: deleted, damaged, locked, replaced, trimmed, a full disk.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { memoryLog } from '../../log/memory/memoryLog.ts';
import { duckdb } from '../../sinks/duckdb.ts';
import { RowBuffer } from '../../sinks/rowBuffer.ts';
import { deskBed, deskTable, type Row } from './deskBed.ts';

let bed: Awaited<ReturnType<typeof deskBed>>;
afterEach(async () => {
  vi.restoreAllMocks();
  await bed?.clean();
});

const rows = (from: number, to: number): Row[] => Array.from({ length: to - from }, (_, i) => [`k${(from + i) % 7}`, { n: from + i }]);
const COUNT = 'SELECT count(*)::INT c, count(DISTINCT n)::INT d, max(n) hi FROM t';
const all = (count: number) => [{ c: count, d: count, hi: count - 1 }];
const quarantined = () => readdirSync(bed.dir).filter((name) => name.includes('quarantine'));
const fresh = (more = {}) => deskBed([deskTable(duckdb('t'))], more);

/** Starts, takes what the log holds, stops. */
async function round(): Promise<void> {
  await bed.start().opened;
  await bed.rows('SELECT 1');
  await bed.stop();
}

describe('the file', () => {
  it('is made under another name, and stands alone after a clean stop', async () => {
    bed = await fresh();
    await bed.put(rows(0, 10));
    writeFileSync(`${bed.path}.new`, 'half a file of a killed start');
    writeFileSync(`${bed.path}.new.wal`, 'x');
    writeFileSync(`${bed.path}.wal`, 'orphan of a file somebody deleted');
    await round();
    expect(readdirSync(bed.dir).filter((name) => !name.includes('quarantine'))).toEqual(['results.duckdb']);
    expect(quarantined().filter((name) => name.endsWith('.wal')).length).toBe(1);
    expect(await bed.read(COUNT)).toEqual(all(10));
  });

  it('is rebuilt when it was deleted', async () => {
    bed = await fresh();
    await bed.put(rows(0, 10));
    await round();
    rmSync(bed.path);
    await bed.put(rows(10, 12));
    await round();
    expect(await bed.read(COUNT)).toEqual(all(12));
  });

  it.each<[string, (path: string) => void]>([
    ['no database at all', (path) => writeFileSync(path, 'not a database\n'.repeat(1_000))],
    ['an empty file', (path) => truncateSync(path, 0)],
    ['cut in the middle', (path) => truncateSync(path, Math.floor(statSync(path).size / 2))],
    ['zeroes over the head', (path) => writeFileSync(path, Buffer.concat([Buffer.alloc(12_288), readFileSync(path).subarray(12_288)]))],
    ['a bit flipped in the first block', (path) => flip(path, 12_288 + 40)],
  ])('%s: it is put aside, never deleted, and rebuilt', async (_, damage) => {
    bed = await fresh();
    await bed.put(rows(0, 500));
    await round();
    damage(bed.path);
    await bed.put(rows(500, 600));
    await round();
    expect(await bed.read(COUNT)).toEqual(all(600));
    expect(quarantined().length).toBeGreaterThan(0);
    expect(bed.told.join()).toMatch(/was put aside as results\.duckdb\.quarantine-/);
  });

  it('of another format is put aside and rebuilt', async () => {
    bed = await fresh();
    await bed.put(rows(0, 5));
    await round();
    const instance = await DuckDBInstance.create(bed.path);
    const connection = await instance.connect();
    await connection.run("UPDATE _millrace_meta SET value = '999'");
    connection.closeSync();
    instance.closeSync();
    await round();
    expect(await bed.read(COUNT)).toEqual(all(5));
    expect(bed.told.join()).toContain('format 999');
  });

  it('an older copy put back goes on from the positions it holds', async () => {
    bed = await fresh();
    await bed.put(rows(0, 10));
    await round();
    const copy = join(bed.dir, 'copy');
    copyFileSync(bed.path, copy);
    await bed.put(rows(10, 30));
    await round();
    copyFileSync(copy, bed.path);
    await round();
    expect(await bed.read(COUNT)).toEqual(all(30));
    expect(quarantined()).toEqual([]);
  });

  it('that another program has open is waited for, and said so', async () => {
    bed = await fresh();
    await bed.put(rows(0, 10));
    await round();
    const script = `const { DuckDBInstance } = require('@duckdb/node-api');
      DuckDBInstance.create(${JSON.stringify(bed.path)}).then(() => { console.log('open'); setTimeout(() => {}, 60_000); });`;
    const { spawn } = await import('node:child_process');
    const holder = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    const writer = bed.start();
    await writer.opened;
    await vi.waitFor(() => expect(bed.told.join('\n')).toMatch(/E_LOCKED: .*results\.duckdb is open in .*; close it there/));
    expect(writer.state).toBe('failing');
    await expect(writer.lend(async () => 1)).rejects.toThrow(/E_QUERY: the result file is not open at the moment/);
    holder.kill('SIGKILL');
    await new Promise((resolve) => holder.once('close', resolve));
    await bed.put(rows(10, 20));
    expect(await bed.rows(COUNT)).toEqual(all(20));
    expect(quarantined()).toEqual([]);
  });

  it('with a damaged .wal of a killed desk is put aside and rebuilt, or goes on from what is left; nothing is missing in the end', async () => {
    for (const at of [0, 20, 200, 1_000, -1]) {
      bed = await fresh();
      await bed.put(rows(0, 300));
      bed.start();
      await bed.rows('SELECT 1');
      await bed.put(rows(300, 600));
      await bed.rows('SELECT 1');
      // What a kill leaves behind: the file and the .wal as they are now.
      for (const suffix of ['', '.wal']) copyFileSync(bed.path + suffix, `${bed.path}.copy${suffix}`);
      await bed.stop();
      for (const suffix of ['', '.wal']) copyFileSync(`${bed.path}.copy${suffix}`, bed.path + suffix);
      const { size } = statSync(`${bed.path}.wal`);
      if (at < 0) truncateSync(`${bed.path}.wal`, Math.floor(size / 2));
      else flip(`${bed.path}.wal`, at);
      await round();
      expect(await bed.read(COUNT), `damage at ${at}`).toEqual(all(600));
      await bed.clean();
    }
  }, 60_000);

  it('a folder in its place is put aside too', async () => {
    bed = await fresh();
    mkdirSync(bed.path);
    await bed.put(rows(0, 3));
    await round();
    expect(await bed.read(COUNT)).toEqual(all(3));
    expect(quarantined().length).toBe(1);
  });
});

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] as number) ^ 0x10;
  writeFileSync(path, bytes);
}

describe('the log', () => {
  it('that ends before what the tables hold is another log: the file is put aside, the tables filled from it', async () => {
    bed = await fresh();
    await bed.put(rows(0, 50));
    await round();
    const other = memoryLog();
    await other.ensureTopics([deskTable(duckdb('t')).topic]);
    const buffer = other.newBuffer();
    buffer.add('line.t', 0, Buffer.from('k'), Buffer.from('{"n":0}'), 1, {});
    await other.append(buffer);
    const writer = bed.start({ reader: other });
    await vi.waitFor(() => expect(writer.state).toBe('ready'), 10_000);
    expect(await bed.rows(COUNT)).toEqual(all(1));
    expect(bed.told.join('\n')).toMatch(
      /E_LOG_WENT_BACK: the tables have read line\.t\/0 up to offset 50, the log ends at 1; the tables are rebuilt from the log, the old file was put aside as/,
    );
    expect(await bed.read(COUNT, join(bed.dir, quarantined()[0] as string))).toEqual(all(50));
  });

  it('that was replaced and has grown past the position is told by its append time', async () => {
    let nowMs = 1_000_000;
    bed = await fresh({ nowMs: () => nowMs });
    await bed.put(rows(0, 50));
    await round();
    nowMs += 60_000;
    const other = memoryLog({ nowMs: () => nowMs });
    await other.ensureTopics([deskTable(duckdb('t')).topic]);
    const buffer = other.newBuffer();
    for (let n = 0; n < 70; n++) buffer.add('line.t', 0, Buffer.from('k'), Buffer.from(`{"n":${n}}`), 1, {});
    await other.append(buffer);
    const writer = bed.start({ reader: other });
    await vi.waitFor(() => expect(writer.state).toBe('ready'), 10_000);
    expect(await bed.rows(COUNT)).toEqual(all(70));
    expect(bed.told.join('\n')).toMatch(/E_LOG_WENT_BACK: offset 49 of line\.t\/0 came in at/);
  });

  it('that forgot records before they were read leaves a named gap, and the rows before it stand', async () => {
    bed = await fresh();
    await bed.put(rows(0, 10));
    await round();
    await bed.put(rows(10, 20));
    await bed.log.trim('line.t', 0, 15);
    const { startOffset } = await bed.log.bounds('line.t', 0);
    expect(startOffset).toBeGreaterThan(10);
    bed.start();
    expect(await bed.rows('SELECT max(n) hi, min(n) lo, count(*)::INT c FROM t')).toEqual([{ hi: 19, lo: 0, c: 30 - startOffset }]);
    expect(await bed.rows('SELECT topic, "partition" p, from_offset::INT f, to_offset::INT t FROM _millrace_gaps')).toEqual([
      { topic: 'line.t', p: 0, f: 10, t: startOffset },
    ]);
    expect(bed.told.join('\n')).toContain(`E_OFFSET_OUT_OF_RANGE: the log forgot line.t/0 from offset 10 to ${startOffset}`);
    expect(await bed.registry.metrics()).toContain(`millrace_desk_gap_records_total{topic="line.t",partition="0"} ${startOffset - 10}`);
  });

  it('that forgot records while the desk ran does the same', async () => {
    bed = await fresh();
    const slow = {
      listTopics: () => bed.log.listTopics(),
      bounds: (topic: string, partition: number) => bed.log.bounds(topic, partition),
      fetch: async (...args: Parameters<typeof bed.log.fetch>) => {
        if (trimBefore > 0) await bed.log.trim('line.t', 0, trimBefore);
        trimBefore = 0;
        return bed.log.fetch(...args);
      },
    };
    let trimBefore = 0;
    bed.start({ reader: slow });
    await bed.put(rows(0, 10));
    expect(await bed.rows(COUNT)).toEqual(all(10));
    await bed.put(rows(10, 20));
    await bed.put(rows(20, 30));
    trimBefore = 20;
    await vi.waitFor(async () => expect(await bed.rows('SELECT max(n) hi FROM t')).toEqual([{ hi: 29 }]));
  });

  it('whose topics come later is waited for', async () => {
    bed = await deskBed([]);
    const late = deskTable(duckdb('t'));
    const writer = bed.start({ tables: [late] });
    await writer.opened;
    expect(await writer.lend(async (c) => (await c.runAndReadAll('SELECT * FROM t')).currentRowCount)).toBe(0);
    await bed.log.ensureTopics([late.topic]);
    await bed.put(rows(0, 3), 'line.t');
    await vi.waitFor(async () => expect(await bed.rows(COUNT)).toEqual(all(3)));
  });
});

describe('a changed definition', () => {
  it('fills the table again from the log', async () => {
    bed = await fresh();
    await bed.put([
      ['a', { n: 1 }],
      ['a', { n: 2 }],
    ]);
    await round();
    bed.start({ tables: [deskTable(duckdb('t', { mode: 'upsert' }))] });
    expect(await bed.rows('SELECT n FROM t')).toEqual([{ n: 2 }]);
    await bed.stop();
    bed.start({ tables: [deskTable(duckdb('t', { mode: 'upsert', columns: { n: 'UTINYINT' } }))] });
    expect(await bed.rows('SELECT n, typeof(n) t FROM t')).toEqual([{ n: 2, t: 'UTINYINT' }]);
    expect(bed.told.join('\n')).toMatch(
      /its mode changed from auto to upsert; it is rebuilt[\s\S]*its column 'n' changed from DOUBLE to UTINYINT/,
    );
  });

  it('is refused when the table cannot be rebuilt', async () => {
    bed = await deskBed([deskTable(duckdb('t', { rebuild: false }))]);
    await bed.put([['a', { n: 1 }]]);
    await round();
    const writer = bed.start({ tables: [deskTable(duckdb('t', { rebuild: false, mode: 'upsert' }))] });
    await expect(writer.opened).rejects.toThrow(/E_NOT_REBUILDABLE: table 't': its mode changed/);
    await expect(writer.ended).rejects.toThrow(/E_NOT_REBUILDABLE/);
  });
});

describe('a failed commit', () => {
  it('is an unknown outcome: the file is opened again, and reading goes on at the positions it holds', async () => {
    bed = await fresh();
    let failures = 0;
    // Fails after the rows and before the commit, then once in every other transaction.
    const onPoint = () => {
      if (++failures % 2 === 1) throw new Error('IO Error: disk on fire');
    };
    bed.start({ onPoint, rowsMax: 40 });
    await bed.put(rows(0, 120));
    expect(await bed.rows(COUNT)).toEqual(all(120));
    expect(failures).toBeGreaterThan(2);
    expect(await bed.registry.metrics()).toMatch(/millrace_desk_failures_total [1-9]/);
  }, 60_000);

  it('over a value DuckDB refuses puts that one record aside and takes all the others', async () => {
    bed = await fresh();
    const inFlight: unknown[] = [];
    const add = RowBuffer.prototype.add;
    vi.spyOn(RowBuffer.prototype, 'add').mockImplementation(function (this: RowBuffer, ...args) {
      inFlight.push((args[1] as { n: unknown }).n);
      add.apply(this, args);
    });
    // No value that passes our checks is known to be refused, so the complaint is played, in DuckDB's words.
    const onPoint = () => {
      if (inFlight.splice(0).includes(13)) throw new Error('Conversion Error: 13 is unlucky');
    };
    bed.start({ onPoint });
    await bed.put(rows(0, 30));
    expect(await bed.rows('SELECT count(*)::INT c, sum(n) s FROM t')).toEqual([{ c: 29, s: 435 - 13 }]);
    expect(await bed.rows('SELECT code, reason, "offset"::INT o FROM _millrace_dead_letters')).toEqual([
      { code: 'E_COLUMN', reason: 'E_COLUMN: DuckDB refused the row: Conversion Error: 13 is unlucky', o: 13 },
    ]);
  });
});

const canMount = process.platform === 'linux' && process.getuid?.() === 0 && spawnSync('mount', ['--version']).status === 0;

describe('a full disk', () => {
  it.skipIf(!canMount)(
    'fails commits, loses nothing, and the desk goes on when there is room again',
    async () => {
      bed = await fresh();
      const small = join(bed.dir, 'small');
      mkdirSync(small);
      if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', small]).status !== 0) return;
      try {
        const path = join(small, 'results.duckdb');
        bed.start({ path, rowsMax: 500 });
        const wide: Row[] = Array.from({ length: 3_000 }, (_, n) => [
          'k',
          { n, text: `${n}`.repeat(20) + Math.random().toString(36).repeat(300) },
        ]);
        await bed.put(wide);
        await vi.waitFor(() => expect(bed.told.join('\n')).toMatch(/results\.duckdb: .*opened again in/), 30_000);
        expect(spawnSync('mount', ['-o', 'remount,size=200m', small]).status).toBe(0);
        expect(await bed.rows(COUNT)).toEqual(all(3_000));
        await bed.stop();
        expect(await bed.read(COUNT, path)).toEqual(all(3_000));
        expect(readdirSync(small).filter((name) => name.includes('quarantine'))).toEqual([]);
      } finally {
        await bed.stop().catch(() => {});
        spawnSync('umount', ['-l', small]);
      }
    },
    60_000,
  );
});
