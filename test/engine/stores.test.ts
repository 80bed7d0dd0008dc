// Three stores under one undo log against the naive ones: any sequence of records, due calls, cuts, commits and aborts.
import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyValueStore } from '../../engine/keyValueStore.ts';
import { resultCodec } from '../../engine/resultCodec.ts';
import { decodeLookup, keyOfLookup } from '../../engine/storeKey.ts';
import type { CellSpec, KeyValueStore, TaskStore, Timers, WindowStore } from '../../engine/stores.ts';
import { timers } from '../../engine/timers.ts';
import { UndoLog } from '../../engine/undo.ts';
import { windowStore } from '../../engine/windowStore.ts';
import { idOf, type Item, StoreModel } from './storeModel.ts';

const KEYS: readonly (() => unknown)[] = [
  () => 'a',
  () => 'b',
  () => '\0t',
  () => 'é😀',
  () => '',
  () => 0,
  () => -1.5,
  () => 1n,
  () => true,
  () => ({ x: 1, y: [2n, 'z'] }),
  () => ({ y: [2n, 'z'], x: 1, gone: undefined }),
  () => new Uint8Array([0, 255]),
  () => Buffer.from([0]),
];
const NAMES = ['hold', 'absent', 'ü', ''] as const;
const NONE: readonly Change[] = [];

/** A change inside a record or a due call. */
type Change =
  | { op: 'kvSet'; key: number; value: unknown }
  | { op: 'kvDelete'; key: number }
  | { op: 'open'; key: number; start: number; due: number }
  | { op: 'touch'; pick: number; number: number; value: unknown }
  | { op: 'remove'; pick: number }
  | { op: 'set'; key: number; name: number; at: number }
  | { op: 'clear'; key: number; name: number }
  /** On the row or timer whose due call this is. */
  | { op: 'own'; how: 'remove' | 'reopen' | 'touch' | 'set'; at: number };

type Op =
  | { op: 'record'; changes: readonly Change[]; fails: boolean }
  | { op: 'fire'; store: 'windows' | 'timers'; changes: readonly Change[]; fails: 'no' | 'throws' | 'later' }
  | { op: 'cut' }
  | { op: 'committed' }
  | { op: 'abort' };

const key = fc.nat(KEYS.length - 1);
const time = fc.integer({ min: -3, max: 6 }).map((n) => n * 1_000);
/** Few times, so that many rows fall due together. */
const dueTime = fc.constantFrom(-1_000, 1_000, 2_000, 2_000, 2_000, 3_000, 6_000);
const value = fc.constantFrom<unknown>(1, -0, NaN, Infinity, 'x', null, true, 7n, new Date(5), [1, { a: 2n }], { a: [] });
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ op: fc.constant('kvSet' as const), key, value }),
  fc.record({ op: fc.constant('kvDelete' as const), key }),
  { weight: 5, arbitrary: fc.record({ op: fc.constant('open' as const), key, start: time, due: dueTime }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('touch' as const), pick: fc.nat(30), number: fc.double(), value }) },
  fc.record({ op: fc.constant('remove' as const), pick: fc.nat(30) }),
  { weight: 2, arbitrary: fc.record({ op: fc.constant('set' as const), key, name: fc.nat(NAMES.length - 1), at: dueTime }) },
  fc.record({ op: fc.constant('clear' as const), key, name: fc.nat(NAMES.length - 1) }),
  fc.record({
    op: fc.constant('own' as const),
    how: fc.constantFrom('remove' as const, 'reopen' as const, 'touch' as const, 'set' as const),
    at: dueTime,
  }),
);
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('record' as const),
      changes: fc.array(change, { maxLength: 8 }),
      fails: fc.constantFrom(true, false, false),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('fire' as const),
      store: fc.constantFrom('windows' as const, 'timers' as const),
      changes: fc.array(change, { maxLength: 3 }),
      fails: fc.constantFrom('no' as const, 'no' as const, 'throws' as const, 'later' as const),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ op: 'cut' as const }) },
  { weight: 2, arbitrary: fc.constant({ op: 'committed' as const }) },
  { weight: 1, arbitrary: fc.constant({ op: 'abort' as const }) },
);

const CELLS: readonly CellSpec[] = [
  { name: 'sum', kind: 'sum', width: 2, boxes: 0, init: () => {} },
  { name: 'last', kind: 'last', width: 1, boxes: 1, init: () => {} },
];

type Real = {
  values: KeyValueStore<unknown, unknown> & TaskStore;
  windows: WindowStore<unknown> & TaskStore;
  timers: Timers<unknown> & TaskStore;
};
const STORES = ['values', 'windows', 'timers'] as const;

function realStores(undo: UndoLog, onDue: (row: number) => void, onTimer: (key: unknown, name: string, atMs: number) => void): Real {
  return {
    values: keyValueStore(undo, { name: 'values', codec: resultCodec }),
    windows: windowStore(undo, { name: 'windows', cells: CELLS, onDue }, { boxed: resultCodec, stepId: 'step' }),
    timers: timers(undo, { name: 'timers', onTimer }, { stepId: 'step' }),
  };
}

/** The real task state and the naive one, driven together. */
class Pair {
  readonly undo = new UndoLog();
  readonly real: Real;
  readonly model = { values: new StoreModel(), windows: new StoreModel(), timers: new StoreModel() };
  /** The log: what is committed, and what the cut in commit adds. */
  log: Record<string, Map<string, Buffer>> = { values: new Map(), windows: new Map(), timers: new Map() };
  logBefore = this.log;
  #inCall: (item: Item) => void = () => expect.unreachable('called when nothing was fired');
  #called: Item | undefined;
  #inCallOf: Item | undefined;

  constructor() {
    this.real = realStores(
      this.undo,
      (row) => {
        const { windows } = this.real;
        const item = this.model.windows.items.get(idOf(windows.key(row), windows.startMs(row))) as Item;
        deepStrictEqual([...windows.numbers.subarray(windows.cells(row), windows.cells(row) + 3)], item.numbers);
        this.#called = item;
        this.#inCall(item);
      },
      (timerKey, name, atMs) => {
        const item = this.model.timers.items.get(idOf(timerKey, name)) as Item;
        expect(atMs).toBe(item.dueMs);
        this.#called = item;
        this.#inCall(item);
      },
    );
  }

  run(one: Op): void {
    switch (one.op) {
      case 'record':
        this.begin();
        for (const c of one.changes) this.change(c);
        if (one.fails) this.rollback();
        return;
      case 'fire':
        return this.fire(one);
      case 'cut':
        if (!this.model.values.isCommitting) this.cut();
        return;
      case 'committed':
        if (!this.model.values.isCommitting) return;
        for (const name of STORES) {
          this.model[name].committed();
          this.real[name].committed();
        }
        return;
      case 'abort':
        if (this.model.values.isCommitting) this.log = this.logBefore;
        for (const name of STORES) {
          this.model[name].abort();
          this.real[name].abort();
        }
    }
  }

  begin(): void {
    this.undo.begin();
    for (const name of STORES) this.model[name].begin();
  }

  rollback(): void {
    this.undo.rollback();
    for (const name of STORES) this.model[name].rollback();
  }

  fire({ store, changes, fails }: Op & { op: 'fire' }): void {
    const item = this.model[store].due()[0];
    if (item === undefined) return;
    this.begin();
    this.#called = undefined;
    this.#inCall = () => {
      this.#inCallOf = item;
      for (const c of changes) this.change(c);
      this.#inCallOf = undefined;
      if (fails === 'throws') throw new Error('callback');
    };
    if (fails === 'throws') expect(() => this.real[store].fire()).toThrow('callback');
    else {
      this.real[store].fire();
      const now = this.model[store].items.get(item.id);
      if (now?.life === item.life) this.model[store].drop(item.id);
    }
    expect(this.calledId()).toBe(item.id);
    if (fails === 'no') return;
    this.rollback();
    this.check();
    this.begin();
    const dropped = this.real[store].dropDue();
    expect(idOf(dropped.key, item.sub)).toBe(item.id);
    expect(dropped.atMs).toBe(item.dueMs);
    this.model[store].drop(item.id);
  }

  calledId(): string | undefined {
    return this.#called?.id;
  }

  cut(): void {
    this.logBefore = this.log;
    this.log = {};
    for (const name of STORES) {
      const rows = new Map(this.logBefore[name]);
      const { written, deleted } = this.model[name].cut();
      const seen: string[] = [];
      const gone: string[] = [];
      this.real[name].cut((k, v) => {
        (v === null ? gone : seen).push(idOfBytes(name, k));
        const at = Buffer.from(k).toString('hex');
        if (v === null) expect(rows.delete(at), 'a deletion of what the log does not hold').toBe(true);
        else rows.set(at, Buffer.from(v));
      });
      expect(seen.sort()).toStrictEqual(written);
      expect(gone.sort()).toStrictEqual(deleted);
      this.log[name] = rows;
    }
    this.checkRestored();
  }

  change(c: Change): void {
    switch (c.op) {
      case 'kvSet': {
        const k = KEYS[c.key]?.();
        const was = this.model.values.items.get(idOf(k, ''));
        this.real.values.set(k, c.value);
        if (was === undefined || typeof c.value === 'object' || !Object.is(was.value, c.value))
          this.model.values.put({ key: k, sub: '', endMs: 0, dueMs: Infinity, numbers: [], value: c.value });
        return;
      }
      case 'kvDelete':
        this.real.values.delete(KEYS[c.key]?.());
        return this.model.values.drop(idOf(KEYS[c.key]?.(), ''));
      case 'open':
        return this.open(KEYS[c.key]?.(), c.start, c.due > 5_000 ? Infinity : c.due);
      case 'touch':
      case 'remove':
        return this.changeRow(c);
      case 'set':
        return this.setTimer(KEYS[c.key]?.(), NAMES[c.name] as string, c.at);
      case 'clear':
        this.real.timers.clear(KEYS[c.key]?.(), NAMES[c.name] as string);
        return this.model.timers.drop(idOf(KEYS[c.key]?.(), NAMES[c.name] as string));
      case 'own':
        return this.changeOwn(c);
    }
  }

  setTimer(k: unknown, name: string, atMs: number): void {
    this.real.timers.set(k, name, atMs);
    const was = this.model.timers.items.get(idOf(k, name));
    // Setting a timer to the time it has changes nothing but that it was set: its callback's end must not take it away.
    if (was?.dueMs === atMs) this.model.timers.items.set(was.id, { ...was, life: was.life + 0.001 });
    else this.model.timers.put({ key: k, sub: name, endMs: 0, dueMs: atMs, numbers: [], value: null });
  }

  changeOwn({ how, at }: Change & { op: 'own' }): void {
    const item = this.#inCallOf;
    if (item === undefined) return;
    const { windows, timers: timerSet } = this.real;
    if (typeof item.sub === 'string') {
      if (how === 'set') this.setTimer(item.key, item.sub, at);
      else if (how !== 'touch') {
        timerSet.clear(item.key, item.sub);
        this.model.timers.drop(item.id);
        if (how === 'reopen') this.setTimer(item.key, item.sub, at);
      }
      return;
    }
    const row = windows.find(item.key, item.sub);
    if (row === -1 || how === 'set') return;
    if (how === 'touch')
      return (
        windows.touch(row),
        this.model.windows.put(this.model.windows.items.get(item.id) as Item, this.model.windows.items.get(item.id)?.life)
      );
    windows.remove(row);
    this.model.windows.drop(item.id);
    if (how === 'reopen') this.open(item.key, item.sub, at > 5_000 ? Infinity : at);
  }

  open(k: unknown, startMs: number, dueMs: number): void {
    const { windows } = this.real;
    if (this.model.windows.items.has(idOf(k, startMs))) {
      expect(() => windows.open(k, startMs, startMs + 5, dueMs)).toThrow('E_ASSERT');
      return;
    }
    const row = windows.open(k, startMs, startMs + 5, dueMs);
    const i = windows.cells(row);
    deepStrictEqual([...windows.numbers.subarray(i, i + 3), windows.boxes[windows.boxCells(row)]], [0, 0, 0, undefined]);
    windows.boxes[windows.boxCells(row)] = 'new';
    this.model.windows.put({ key: k, sub: startMs, endMs: startMs + 5, dueMs, numbers: [0, 0, 0], value: 'new' });
  }

  changeRow(c: Change & { op: 'touch' | 'remove' }): void {
    const { windows } = this.real;
    const all = [...this.model.windows.items.values()];
    const item = all[c.pick % Math.max(1, all.length)];
    if (item === undefined) return;
    const row = windows.find(item.key, item.sub as number);
    if (c.op === 'remove') {
      windows.remove(row);
      expect(() => windows.touch(row)).toThrow('E_ASSERT');
      expect(() => windows.remove(row)).toThrow('E_ASSERT');
      this.model.windows.drop(item.id);
      return;
    }
    windows.touch(row);
    const numbers = [item.numbers[0] as number, c.number, -0];
    windows.numbers.set(numbers, windows.cells(row));
    windows.boxes[windows.boxCells(row)] = c.value;
    this.model.windows.put({ ...item, numbers, value: c.value }, item.life);
  }

  check(): void {
    expectEqual(this.real, this.model);
  }

  /** A fresh task that reads the log as it would be if this cut were committed is the one that was cut. */
  checkRestored(): void {
    const fresh = realStores(
      new UndoLog(),
      () => {},
      () => {},
    );
    for (const name of STORES)
      for (const [k, v] of this.log[name] as Map<string, Buffer>)
        fresh[name].restore(Buffer.from(k, 'hex'), v, JSON.parse(JSON.stringify(fresh[name].shape)));
    expectEqual(fresh, this.model);
    for (const name of STORES) fresh[name].cut(() => expect.unreachable('what was read is not to be written'));
    for (const name of ['windows', 'timers'] as const) {
      const order = this.model[name].due();
      for (const item of order) {
        expect(fresh[name].nextDueMs).toBe(item.dueMs);
        const { key: k, atMs, row } = fresh[name].dropDue();
        expect([idOf(k, name === 'windows' ? (row as { startMs: number }).startMs : (row as { name: string }).name), atMs]).toStrictEqual([
          item.id,
          item.dueMs,
        ]);
      }
      expect(fresh[name].nextDueMs).toBe(Infinity);
    }
  }
}

function idOfBytes(store: string, bytes: Uint8Array): string {
  const k = Buffer.from(bytes);
  if (store === 'values') return idOf(keyOfLookup(decodeLookup(k, 0, k.length)), '');
  if (store === 'windows') return idOf(keyOfLookup(decodeLookup(k, 0, k.length - 8)), Number(k.readBigInt64BE(k.length - 8)));
  const split = k.length - 4 - k.readUInt32BE(k.length - 4);
  return idOf(keyOfLookup(decodeLookup(k, 0, split)), k.toString('utf8', split, k.length - 4));
}

function expectEqual(real: Real, model: Record<(typeof STORES)[number], StoreModel>): void {
  deepStrictEqual(contents(real), modelContents(model));
}

/** All that can be asked of the stores, in one value: one comparison is quicker than a thousand expectations. */
function contents(real: Real): unknown {
  const { values, windows } = real;
  const found: unknown[] = [];
  for (const make of KEYS) {
    const k = make();
    found.push(values.get(k), ...NAMES.map((name) => real.timers.get(k, name)));
    for (let startMs = -3_000; startMs <= 6_000; startMs += 1_000) {
      const row = windows.find(k, startMs);
      if (row === -1) continue;
      const i = windows.cells(row);
      found.push(
        idOf(windows.key(row), windows.startMs(row)),
        windows.endMs(row),
        [...windows.numbers.subarray(i, i + 3)],
        windows.boxes[windows.boxCells(row)],
      );
    }
  }
  return {
    sizes: STORES.map((name) => [real[name].size, real[name].nextDueMs, real[name].lastDueMs]),
    entries: new Map([...values.entries()].map(([k, v]) => [idOf(k, ''), v])),
    found,
  };
}

function modelContents(model: Record<(typeof STORES)[number], StoreModel>): unknown {
  const found: unknown[] = [];
  for (const make of KEYS) {
    const k = make();
    found.push(model.values.items.get(idOf(k, ''))?.value, ...NAMES.map((name) => model.timers.items.get(idOf(k, name))?.dueMs));
    for (let startMs = -3_000; startMs <= 6_000; startMs += 1_000) {
      const item = model.windows.items.get(idOf(k, startMs));
      if (item !== undefined) found.push(item.id, item.endMs, item.numbers, item.value);
    }
  }
  return {
    sizes: STORES.map((name) => {
      const due = model[name].due();
      return [model[name].items.size, due[0]?.dueMs ?? Infinity, due.at(-1)?.dueMs ?? -Infinity];
    }),
    entries: new Map([...model.values.items.values()].map((item) => [item.id, item.value])),
    found,
  };
}

describe('stores', () => {
  it('are what naive copies would be, after any sequence of records, due calls, cuts, commits and aborts', () => {
    fc.assert(
      fc.property(fc.array(op, { minLength: 1, maxLength: 60, size: 'max' }), (ops) => {
        const pair = new Pair();
        for (const one of ops) {
          pair.run(one);
          pair.check();
        }
        pair.run({ op: 'committed' });
        pair.run({ op: 'cut' });
      }),
      { numRuns: 400 },
    );
  }, 120_000);

  it('settle at a cut and at an abort: a rollback without a savepoint goes no further back', () => {
    const pair = new Pair();
    pair.begin();
    pair.open('before', 0, 1_000);
    pair.begin();
    pair.open('a', 0, 1_000);
    pair.cut();
    pair.rollback();
    pair.check();
    expect(pair.real.windows.size).toBe(2);
    pair.open('b', 0, 1_000);
    pair.setTimer('b', 'hold', 5);
    pair.rollback();
    pair.check();
    pair.run({ op: 'committed' });
    pair.cut();
    pair.begin();
    pair.setTimer('b', 'hold', 5);
    pair.run({ op: 'abort' });
    pair.rollback();
    pair.check();
    expect(pair.real.windows.size).toBe(2);
    pair.open('c', 0, 1_000);
    pair.run({ op: 'cut' });
    pair.check();
  });

  it('undo what several records and a due call did when the commit of either generation fails', () => {
    const pair = new Pair();
    const open = (k: number, start: number, due: number): Op => ({
      op: 'record',
      changes: [{ op: 'open', key: k, start, due }],
      fails: false,
    });
    const fire: Op = { op: 'fire', store: 'windows', changes: NONE, fails: 'no' };
    for (const one of [
      open(0, 0, 1_000),
      open(1, 0, 1_000),
      { op: 'cut' },
      { op: 'committed' },
      fire,
      { op: 'cut' },
      fire,
      open(0, 0, 2_000),
      open(2, 0, 1_000),
    ] as Op[]) {
      pair.run(one);
      pair.check();
    }
    pair.run({ op: 'abort' });
    pair.check();
    expect(pair.real.windows.size).toBe(2);
    pair.run(fire);
    pair.run({ op: 'cut' });
    pair.run({ op: 'abort' });
    pair.check();
    expect(pair.real.windows.nextDueMs).toBe(1_000);
  });
});
