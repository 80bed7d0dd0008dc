// The stores alone: what a record pays to find and change its window, what a close pays per row, and what a row weighs.
import { resultCodec } from '../engine/resultCodec.ts';
import type { CellSpec, TaskStore, WindowStore } from '../engine/stores.ts';
import { timers } from '../engine/timers.ts';
import { UndoLog } from '../engine/undo.ts';
import { windowStore } from '../engine/windowStore.ts';
import { type BenchResult, type Figure, figure } from './result.ts';

export const name = 'stores';

const RUNS = 7;
/** count, sum, min, max and mean: two numbers for a sum that does not lose small values. */
const CELLS: readonly CellSpec[] = ['count', 'sum', 'min', 'max', 'mean'].map((kind, i) => ({
  name: `${kind}s`,
  kind,
  width: i === 1 || i === 4 ? 2 : 1,
  boxes: 0,
  init: () => {},
}));
const MINUTE = 60_000;

function openStore(undo: UndoLog, onDue: (row: number) => void = () => {}): WindowStore<string> & TaskStore {
  return windowStore<string>(undo, { name: 'windows', cells: CELLS, onDue }, { boxed: resultCodec, stepId: 'bench' });
}

function keysOf(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => Buffer.from(`device-${String(i).padStart(6, '0')}`).toString('latin1'));
}

/** The keys of a stream, in an order no cache foresees, as the strings an intern table gives: one per key. */
function shuffled(keys: readonly string[], count: number): readonly string[] {
  let seed = 42;
  return Array.from({ length: count }, () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return keys[(seed >>> 8) % keys.length] as string;
  });
}

/** Of processor time: what others do on the machine still costs us cache, but no waiting. */
function nanosecondsPer(count: number, work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1_000) / count;
}

/** One record: a savepoint, its window found or opened, its five cells changed. */
function take(undo: UndoLog, store: WindowStore<string>, key: string, startMs: number, value: number): void {
  undo.begin();
  let row = store.find(key, startMs);
  if (row === -1) row = store.open(key, startMs, startMs + MINUTE, startMs + MINUTE);
  else store.touch(row);
  const cells = store.numbers;
  const i = store.cells(row);
  cells[i] = (cells[i] as number) + 1;
  cells[i + 1] = (cells[i + 1] as number) + value;
  if (value < (cells[i + 3] as number)) cells[i + 3] = value;
  if (value > (cells[i + 4] as number)) cells[i + 4] = value;
  cells[i + 5] = (cells[i + 5] as number) + value;
}

/** Records of one window, cut and committed every 100,000 as a worker does; then the next window; then the first closes. */
function measureWindows(keyCount: number): { touch: number; close: number; cut: number } {
  const undo = new UndoLog();
  let sum = 0;
  const store: WindowStore<string> & TaskStore = openStore(undo, (row) => {
    sum += store.numbers[store.cells(row)] as number;
  });
  const stream = shuffled(keysOf(keyCount), 1_000_000);
  const touches: number[] = [];
  const cuts: number[] = [];
  let closing = 0;
  let closed = 0;
  for (let window = 0; window < 4; window++) {
    for (let from = 0; from < stream.length; from += 100_000) {
      touches.push(
        nanosecondsPer(100_000, () => {
          for (let i = from; i < from + 100_000; i++) take(undo, store, stream[i] as string, window * MINUTE, i % 97);
        }),
      );
      let rows = 0;
      const spent = nanosecondsPer(1, () => {
        store.cut(() => rows++);
        store.committed();
      });
      cuts.push(spent / rows);
    }
    const due = store.size;
    closing += nanosecondsPer(1, () => {
      for (let i = 0; i < due; i++) {
        undo.begin();
        store.fire();
      }
      undo.begin();
    });
    closed += due;
  }
  if (sum !== 4 * stream.length) throw new Error(`the windows hold ${sum} records, not ${4 * stream.length}`);
  return { touch: median(touches), close: closing / closed, cut: median(cuts) };
}

/** A silence alarm: every record moves its key's timer, none fires. */
function measureTimers(keyCount: number): number {
  const undo = new UndoLog();
  const store = timers<string>(undo, { name: 'timers', onTimer: () => {} }, { stepId: 'bench' });
  const stream = shuffled(keysOf(keyCount), 1_000_000);
  let due = 0;
  const spent = nanosecondsPer(stream.length, () => {
    for (let i = 0; i < stream.length; i++) {
      undo.begin();
      store.set(stream[i] as string, 'absent', i + 10_000_000);
      due += store.nextDueMs;
      if (i % 100_000 === 0) {
        store.cut(() => {});
        store.committed();
      }
    }
  });
  if (!(due > 0)) throw new Error('no timer is set');
  return spent;
}

/** What 200,000 open windows weigh, one per key, and how long a full collection takes with them. */
function measureMemory(): { bytes: number; collectMs: number } {
  const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});
  const count = 200_000;
  collect();
  const before = weight();
  const undo = new UndoLog();
  const store = openStore(undo);
  for (let i = 0; i < count; i++) {
    take(undo, store, Buffer.from(`device-${String(i).padStart(6, '0')}`).toString('latin1'), 0, i);
    if (i % 10_000 === 0) {
      store.cut(() => {});
      store.committed();
    }
  }
  store.cut(() => {});
  store.committed();
  collect();
  const bytes = (weight() - before) / store.size;
  const collectMs = nanosecondsPer(5, () => {
    for (let i = 0; i < 5; i++) collect();
  });
  if (store.size !== count) throw new Error('a row is missing');
  return { bytes, collectMs: collectMs / 1e6 };
}

function weight(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}

/** Measures touching, closing, cutting, timers and memory. */
export async function run(): Promise<BenchResult> {
  const figures: Record<string, Figure> = {};
  for (const keyCount of [1_000, 100_000]) {
    const runs = Array.from({ length: RUNS }, () => measureWindows(keyCount));
    const at = `${keyCount} keys`;
    figures[`${at}: find and touch`] = figure(
      runs.map(({ touch }) => touch),
      'ns a record',
    );
    figures[`${at}: close`] = figure(
      runs.map(({ close }) => close),
      'ns a row',
    );
    figures[`${at}: cut`] = figure(
      runs.map(({ cut }) => cut),
      'ns a row written',
    );
    figures[`${at}: move a timer`] = figure(
      Array.from({ length: RUNS }, () => measureTimers(keyCount)),
      'ns a record',
    );
  }
  const memory = Array.from({ length: RUNS }, measureMemory);
  figures['open window, key included'] = figure(
    memory.map(({ bytes }) => bytes),
    'bytes',
    250,
  );
  figures['full collection with 200,000 windows'] = figure(
    memory.map(({ collectMs }) => collectMs),
    'ms',
  );
  return {
    name,
    figures,
    notes:
      'processor time; count, sum, min, max and mean: seven numbers a row; keys of 13 characters; cut and committed every 100,000 records.',
  };
}
