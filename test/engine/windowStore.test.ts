// The window store alone: shapes that change, rows that are damaged, many rows, and values JSON would lose.
import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { msgpack } from '../../codecs/msgpack.ts';
import { resultCodec } from '../../engine/resultCodec.ts';
import { shapeHash } from '../../engine/shape.ts';
import type { CellSpec, StoreShape, TaskStore, WindowStore } from '../../engine/stores.ts';
import { UndoLog } from '../../engine/undo.ts';
import { windowStore } from '../../engine/windowStore.ts';

type Store = WindowStore<unknown> & TaskStore;
type Rows = [Uint8Array, Uint8Array | null][];

const cell = (name: string, kind: string, width: number, boxes = 0, init: CellSpec['init'] = () => {}): CellSpec => ({
  name,
  kind,
  width,
  boxes,
  init,
});
const COUNT = cell('n', 'count', 1);
const MEAN = cell('pm25', 'mean', 2);
const LAST = cell('district', 'last', 1, 1);
const MIN = cell('low', 'min', 1, 1, (numbers, i, boxes, k) => {
  numbers[i] = Infinity;
  boxes[k] = 'begun';
});

function make(
  cells: readonly CellSpec[],
  undo = new UndoLog(),
  onDue: (row: number, store: WindowStore<unknown>) => void = () => {},
): Store {
  return windowStore<unknown>(undo, { name: 'windows', cells, onDue }, { boxed: msgpack(), stepId: 'air-5m' });
}

function cutOf(store: Store): Rows {
  const rows: Rows = [];
  store.cut((key, value) => rows.push([Buffer.from(key), value === null ? null : Buffer.from(value)]));
  return rows;
}

/** As it comes out of a checkpoint: another object. */
const stored = (store: Store): StoreShape => JSON.parse(JSON.stringify(store.shape)) as StoreShape;

function restored(cells: readonly CellSpec[], rows: Rows, shape: StoreShape): Store {
  const store = make(cells);
  for (const [key, value] of rows) if (value !== null) store.restore(key, value, shape);
  return store;
}

function cellsOf(store: Store, key: unknown, startMs: number, width: number, boxes: number): unknown[] {
  const row = store.find(key, startMs);
  return [
    ...store.numbers.subarray(store.cells(row), store.cells(row) + width),
    ...store.boxes.slice(store.boxCells(row), store.boxCells(row) + boxes),
  ];
}

/** Two windows of one key, with count, mean and last. */
function filled(): { store: Store; rows: Rows } {
  const store = make([COUNT, MEAN, LAST]);
  for (const startMs of [0, 60_000]) {
    const row = store.open('a', startMs, startMs + 60_000, startMs + 90_000);
    store.touch(row);
    store.numbers.set([3, 10, 0.5, 7], store.cells(row));
    store.boxes[store.boxCells(row)] = { name: 'east' };
  }
  return { store, rows: cutOf(store) };
}

describe('windowStore: shape', () => {
  it('reads rows of its own shape and writes none of them again', () => {
    const { store, rows } = filled();
    const again = restored([COUNT, MEAN, LAST], rows, stored(store));
    deepStrictEqual(cellsOf(again, 'a', 60_000, 4, 1), [3, 10, 0.5, 7, { name: 'east' }]);
    expect([again.size, again.nextDueMs, again.lastDueMs, again.endMs(again.find('a', 0))]).toStrictEqual([2, 90_000, 150_000, 60_000]);
    expect(cutOf(again)).toStrictEqual([]);
  });

  it('takes rows over by name when aggregators come, go or change places, and begins the new ones', () => {
    const { store, rows } = filled();
    const after = restored([MIN, LAST, COUNT], rows, stored(store));
    deepStrictEqual(cellsOf(after, 'a', 0, 3, 2), [Infinity, 7, 3, 'begun', { name: 'east' }]);
  });

  it('writes every row anew in the first commit after the shape changed, also when that commit had to be repeated', () => {
    const { store, rows } = filled();
    const after = restored([MEAN, MIN], rows, stored(store));
    expect(cutOf(after)).toHaveLength(2);
    after.abort();
    after.open('b', 0, 1, 2);
    after.remove(after.find('a', 60_000));
    const second = cutOf(after);
    expect(second.map(([, value]) => value === null).sort()).toStrictEqual([false, false, true]);
    const all = new Map(rows.map(([key, value]) => [Buffer.from(key).toString('hex'), value]));
    for (const [key, value] of second) all.set(Buffer.from(key).toString('hex'), value);
    const third = restored(
      [MEAN, MIN],
      [...all].map(([key, value]) => [Buffer.from(key, 'hex'), value]),
      stored(after),
    );
    deepStrictEqual(cellsOf(third, 'a', 0, 3, 1), [10, 0.5, Infinity, 'begun']);
    expect(third.size).toBe(2);
    after.committed();
    expect(cutOf(after)).toStrictEqual([]);
    after.abort();
    expect(cutOf(after)).toStrictEqual([]);
  });

  it.each<[string, readonly CellSpec[], string]>([
    ['another kind', [COUNT, cell('pm25', 'max', 1), LAST], "'pm25' was stored as mean and is max now"],
    ['another width', [COUNT, cell('pm25', 'mean', 3), LAST], "'pm25' (mean) was stored as 2 numbers"],
    ['another count of boxes', [cell('n', 'count', 1, 1)], "'n' (count) was stored as 1 numbers and 0 boxed values and has 1 and 1 now"],
  ])('refuses a cell of the same name and %s, and says the three ways out', (_, cells, what) => {
    const { store, rows } = filled();
    expect(() => restored(cells, rows, stored(store))).toThrow(
      expect.objectContaining({
        code: 'E_STATE_SHAPE',
        message: expect.stringMatching(
          /step 'air-5m', store 'windows': .*give the step a new id.*reset step 'air-5m'.*raise the pipeline's version/,
        ),
      }),
    );
    expect(() => restored(cells, rows, stored(store))).toThrow(what);
  });

  it('refuses rows of another kind of store', () => {
    const { rows } = filled();
    expect(() => restored([COUNT], rows, { kind: 'timers', cells: [] })).toThrow('stored as timers, now windows');
  });

  it('hashes what a row means and nothing else', () => {
    const shape = (...cells: CellSpec[]) => shapeHash(make(cells).shape);
    expect(shape(COUNT, MEAN)).toBe(shape({ ...COUNT, init: () => expect.unreachable() }, MEAN));
    const all = [
      shape(COUNT, MEAN),
      shape(MEAN, COUNT),
      shape(COUNT),
      shape(),
      shape({ ...COUNT, width: 2 }),
      shape({ ...COUNT, kind: 'sum' }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it('refuses two cells of one name', () => {
    expect(() => make([COUNT, COUNT])).toThrow('E_CONFIG');
  });

  it('says E_CORRUPT for a damaged row and takes nothing of it in', () => {
    const { store, rows } = filled();
    const [key, value] = rows[0] as [Buffer, Buffer];
    const damaged: [Buffer, Buffer][] = [
      [key, value.subarray(0, 30)],
      [key, Buffer.alloc(0)],
      [key, Buffer.concat([Buffer.from([9]), value.subarray(1)])],
      [key, Buffer.concat([value.subarray(0, 1), Buffer.from([0, 0, 0, 0]), value.subarray(5)])],
      [key.subarray(0, 8), value],
      [Buffer.concat([Buffer.from([77]), key.subarray(1)]), value],
    ];
    for (const [badKey, badValue] of damaged) {
      const fresh = make([COUNT, MEAN, LAST]);
      expect(() => fresh.restore(badKey, badValue, stored(store))).toThrow('E_CORRUPT');
      expect(fresh.size).toBe(0);
    }
  });
});

describe('windowStore: rows', () => {
  it('keeps numbers and boxed values that JSON would lose', () => {
    const numbers = fc.array(fc.oneof(fc.double(), fc.constantFrom(-0, NaN, Infinity, -Infinity, 5e-324)), { minLength: 2, maxLength: 2 });
    const boxed = fc.constantFrom<unknown>(
      undefined,
      null,
      -0,
      NaN,
      -Infinity,
      2n ** 80n,
      -5n,
      new Date(1e12),
      'é\ud800',
      { a: [undefined, 1n] },
      [new Date(0)],
    );
    fc.assert(
      fc.property(numbers, boxed, fc.maxSafeInteger(), fc.constantFrom(5, Infinity), (pair, box, startMs, dueMs) => {
        const store = make([cell('x', 'x', 2, 1)]);
        const row = store.open('k', startMs, Infinity, dueMs);
        store.numbers.set(pair, store.cells(row));
        store.boxes[store.boxCells(row)] = box;
        const again = restored([cell('x', 'x', 2, 1)], cutOf(store), stored(store));
        deepStrictEqual(cellsOf(again, 'k', startMs, 2, 1), [...pair, box]);
        expect([again.nextDueMs, again.endMs(0)]).toStrictEqual([dueMs, Infinity]);
      }),
    );
  });

  it('brings the box back that stood there before a record that fails', () => {
    const undo = new UndoLog();
    const store = make([LAST], undo);
    undo.begin();
    const row = store.open('a', 0, 1, 2);
    const box = { n: 1 };
    store.boxes[store.boxCells(row)] = box;
    undo.begin();
    store.touch(row);
    store.boxes[store.boxCells(row)] = { n: 2 };
    undo.rollback();
    expect(store.boxes[store.boxCells(store.find('a', 0))]).toBe(box);
  });

  it.each([
    [0.5, 1, 1],
    [NaN, 1, 1],
    [0, NaN, 1],
    [0, 1, NaN],
    [Infinity, Infinity, 1],
  ])('refuses a window from %d to %d due at %d and changes nothing', (startMs, endMs, dueMs) => {
    const store = make([COUNT]);
    expect(() => store.open('a', startMs, endMs, dueMs)).toThrow('E_RESULT');
    expect(() => store.open('\ud800', 0, 1, 1)).toThrow('E_RESULT');
    expect(() => store.open(null, 0, 1, 1)).toThrow('E_NULL_KEY');
    expect([store.size, store.nextDueMs]).toStrictEqual([0, Infinity]);
  });

  it('names store and key when a boxed value cannot be written', () => {
    const store = make([LAST]);
    store.boxes[store.boxCells(store.open('a', 0, 1, 1))] = () => {};
    expect(() => cutOf(store)).toThrow(/E_RESULT: step 'air-5m': the values of key a cannot be written: .*function/);
  });

  it('says what a dropped window held', () => {
    const { store } = filled();
    expect(store.dropDue()).toStrictEqual({
      key: 'a',
      atMs: 90_000,
      what: 'window [0, 60000)',
      row: { startMs: 0, endMs: 60_000, cells: { n: [3], pm25: [10, 0.5], district: [7, { name: 'east' }] } },
    });
    expect(store.size).toBe(1);
  });

  it('says it so that a dead letter can always be written, whatever the boxes hold', () => {
    const store = make([cell('x', 'x', 1, 3)]);
    const row = store.open('a', 0, 1, 2);
    const circle: unknown[] = [];
    circle.push(circle);
    store.numbers[store.cells(row)] = NaN;
    const boxes = [{ raw: new Uint8Array([1, 2]), at: new Date(NaN), f: () => 1, m: new Map() }, undefined, circle];
    boxes.forEach((box, i) => {
      store.boxes[store.boxCells(row) + i] = box;
    });
    const text = Buffer.from(resultCodec.encode(store.dropDue().row)).toString();
    expect(text).toContain('[{"$number":"NaN"},{"raw":"AQI=","at":"(invalid Date)","f":"(function)","m":"(Map)"},null,[[[');
  });

  it('asserts that something is due, that only one cut is in commit, and that rows are restored first', () => {
    const store = make([COUNT]);
    expect(() => store.fire()).toThrow('E_ASSERT');
    expect(() => store.dropDue()).toThrow('E_ASSERT');
    expect(() => store.committed()).toThrow('E_ASSERT');
    store.open('a', 0, 1, Infinity);
    expect(() => store.fire()).toThrow('E_ASSERT');
    const [[key, value]] = cutOf(store) as [[Uint8Array, Uint8Array]];
    expect(() => store.cut(() => {})).toThrow('three generations');
    expect(() => store.restore(key, value, store.shape)).toThrow('E_ASSERT');
    const fresh = make([COUNT]);
    const shape = stored(store);
    fresh.restore(key, value, shape);
    expect(() => fresh.restore(key, value, shape)).toThrow('restored twice');
    const late = make([COUNT]);
    late.open('b', 0, 1, 1);
    expect(() => late.restore(key, value, store.shape)).toThrow('restored after the first record');
  });
});

describe('windowStore: many rows', () => {
  /** Ten thousand keys, each with two windows that close together, opened in no order. */
  function many(undo: UndoLog, onDue: (row: number, store: WindowStore<unknown>) => void): Store {
    const store = make([COUNT], undo, onDue);
    for (let i = 0; i < 10_000; i++) {
      const n = (i * 7_919) % 10_000;
      undo.begin();
      for (const startMs of [60, 0]) {
        const row = store.open(n % 10 === 0 ? n : `device-${n}`, startMs, startMs + 60, 200);
        store.touch(row);
        store.numbers[store.cells(row)] = n;
      }
    }
    return store;
  }

  it('closes in the order of keys and starts, with numbers and boxes read again as the slab grew', () => {
    const fired: [unknown, number, number][] = [];
    const undo = new UndoLog();
    const store = many(undo, (row, s) => fired.push([s.key(row), s.startMs(row), s.numbers[s.cells(row)] as number]));
    while (store.nextDueMs <= 200) {
      undo.begin();
      store.fire();
    }
    const keys: (string | number)[] = [...Array(10_000).keys()].map((n) => (n % 10 === 0 ? n : `device-${n}`));
    keys.sort((a, b) => (typeof a === typeof b ? (a < b ? -1 : 1) : typeof a === 'number' ? -1 : 1));
    expect(fired).toStrictEqual(
      keys.flatMap((key) => [0, 60].map((startMs) => [key, startMs, Number(String(key).replace('device-', ''))])),
    );
    expect([store.size, store.nextDueMs]).toStrictEqual([0, Infinity]);
    expect(store.find('device-1', 0)).toBe(-1);
  });

  it('stands as it stood at the last commit when a close of many rows is aborted half way', () => {
    const fired: string[] = [];
    const undo = new UndoLog();
    const store = many(undo, (row, s) => fired.push(`${String(s.key(row))} ${s.startMs(row)}`));
    const before = new Map(cutOf(store).map(([key, value]) => [Buffer.from(key).toString('hex'), value?.toString()]));
    store.committed();
    const close = (count: number) => {
      for (let i = 0; i < count; i++) {
        undo.begin();
        store.fire();
      }
    };
    close(7_000);
    expect(cutOf(store)).toHaveLength(7_000);
    close(5_000);
    undo.begin();
    store.open('late', 0, 60, 200);
    store.open('device-1', 0, 60, 150);
    store.abort();
    expect([store.size, store.nextDueMs, store.find('late', 0)]).toStrictEqual([20_000, 200, -1]);
    const first = fired.splice(0);
    close(12_000);
    expect(fired).toStrictEqual(first);
    store.abort();
    store.cut(() => expect.unreachable('nothing changed'));
    store.committed();
    for (let i = 0; i < 10_000; i++) store.touch(store.find(i % 10 === 0 ? i : `device-${i}`, 60));
    const touched = cutOf(store).map(([key, value]) => [Buffer.from(key).toString('hex'), value?.toString()] as const);
    expect(touched).toHaveLength(10_000);
    expect(touched.filter(([key, value]) => before.get(key) !== value)).toStrictEqual([]);
  });

  it('finds every one of a key’s many windows, whichever way they are asked for', () => {
    const starts = fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { maxLength: 40 });
    fc.assert(
      fc.property(
        starts,
        fc.array(fc.tuple(fc.constantFrom('a', 'b', 1), fc.integer({ min: -52, max: 52 })), { maxLength: 80 }),
        (open, asked) => {
          const store = make([COUNT]);
          for (const startMs of open) for (const key of ['a', 'b', 1]) store.open(key, startMs, startMs + 1, 99);
          const found = asked.map(([key, startMs]) => {
            const row = store.find(key, startMs);
            return row === -1 ? undefined : [store.key(row), store.startMs(row)];
          });
          expect(found).toStrictEqual(asked.map(([key, startMs]) => (open.includes(startMs) ? [key, startMs] : undefined)));
        },
      ),
    );
  });
});
