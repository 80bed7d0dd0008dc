// Timers alone: their order, what a callback may do to its own timer, and how they come back.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoreShape, TaskStore, Timers } from '../../engine/stores.ts';
import { timers } from '../../engine/timers.ts';
import { UndoLog } from '../../engine/undo.ts';

const SHAPE: StoreShape = { kind: 'timers', cells: [] };
type Store = Timers<unknown> & TaskStore;

function make(onTimer: (key: unknown, name: string, atMs: number, store: Store) => void = () => {}, undo = new UndoLog()): Store {
  const store: Store = timers<unknown>(
    undo,
    { name: 'timers', onTimer: (key, name, atMs) => onTimer(key, name, atMs, store) },
    { stepId: 'silent-station' },
  );
  return store;
}

describe('timers', () => {
  it('fire by time, then key, then name, each once', () => {
    const fired: unknown[] = [];
    const store = make((key, name, atMs) => fired.push([atMs, key, name]));
    for (const [key, name, atMs] of [
      ['b', 'x', 5],
      ['a', 'y', 5],
      ['a', 'x', 5],
      [2, 'z', 5],
      ['c', 'x', 4],
      ['d', 'x', 9],
    ] as const)
      store.set(key, name, atMs);
    store.set('d', 'x', 3);
    store.clear('c', 'x');
    store.clear('c', 'never');
    while (store.nextDueMs < Infinity) store.fire();
    expect(fired).toStrictEqual([
      [3, 'd', 'x'],
      [5, 2, 'z'],
      [5, 'a', 'x'],
      [5, 'a', 'y'],
      [5, 'b', 'x'],
    ]);
    expect(store.size).toBe(0);
  });

  it('move with every record, later and earlier, and keep their order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(9), fc.integer({ min: 0, max: 30 }), fc.boolean()), { maxLength: 200, size: 'max' }),
        (moves) => {
          const store = make();
          const naive = new Map<number, number>();
          for (const [key, atMs, asks] of moves) {
            store.set(key, 'absent', atMs);
            naive.set(key, atMs);
            if (asks) expect(store.nextDueMs).toBe(Math.min(...naive.values()));
          }
          const order = [...naive].sort((a, b) => a[1] - b[1] || a[0] - b[0]);
          for (const [key, atMs] of order) {
            const dropped = store.dropDue();
            expect(dropped).toStrictEqual({ key, atMs, what: "timer 'absent'", row: { name: 'absent', atMs } });
          }
          expect([store.nextDueMs, store.lastDueMs]).toStrictEqual([Infinity, -Infinity]);
        },
      ),
    );
  });

  it('are there while their callback runs, and stay if it sets them again, also to the same time', () => {
    const seen: unknown[] = [];
    const store = make((key, name, atMs, self) => {
      seen.push(self.get(key, name));
      if (atMs < 30) self.set(key, name, atMs + 10);
      else if (seen.length === 3) self.set(key, name, atMs);
    });
    store.set('a', 'every-10', 10);
    for (let i = 0; i < 4; i++) store.fire();
    expect(seen).toStrictEqual([10, 20, 30, 30]);
    expect([store.size, store.nextDueMs]).toStrictEqual([0, Infinity]);
  });

  it('go when their callback clears them, and another that takes their slot stays', () => {
    const store = make((key, name, _, self) => {
      self.clear(key, name);
      self.set('other', name, 50);
    });
    store.set('a', 'x', 1);
    store.fire();
    expect([store.size, store.get('a', 'x'), store.get('other', 'x')]).toStrictEqual([1, undefined, 50]);
  });

  it('stand as before when a callback fails, and can then be dropped', () => {
    const undo = new UndoLog();
    const store = make((_key, _name, _at, self) => {
      self.set('b', 'x', 0);
      self.clear('a', 'x');
      throw new Error('callback');
    }, undo);
    store.set('a', 'x', 1);
    undo.begin();
    expect(() => store.fire()).toThrow('callback');
    undo.rollback();
    expect([store.size, store.nextDueMs, store.get('a', 'x')]).toStrictEqual([1, 1, 1]);
    undo.begin();
    expect(store.dropDue().key).toBe('a');
    expect(store.size).toBe(0);
  });

  it.each([NaN, Infinity, -Infinity])('refuse to be set to %d', (atMs) => {
    const store = make();
    expect(() => store.set('a', 'x', atMs)).toThrow("E_RESULT: step 'silent-station': timer 'x'");
    expect(store.size).toBe(0);
  });

  it('refuse a null key, and a key without bytes', () => {
    expect(() => make().set(null, 'x', 1)).toThrow('E_NULL_KEY');
    expect(() => make().set('\ud800', 'x', 1)).toThrow('E_RESULT');
  });

  it('come back from their rows, and say what is wrong with those that are none', () => {
    const store = make();
    store.set({ room: 1 }, 'ü', -0.5);
    store.set('a', '', 7);
    const again = make();
    let bytes: Uint8Array = new Uint8Array();
    store.cut((key, value) => {
      bytes = Buffer.from(key);
      again.restore(bytes, Buffer.from(value as Uint8Array), SHAPE);
    });
    expect([again.get({ room: 1 }, 'ü'), again.get('a', ''), again.size]).toStrictEqual([-0.5, 7, 2]);
    const good = Buffer.alloc(9, 1);
    expect(() => make().restore(bytes, good.subarray(1), SHAPE)).toThrow('E_CORRUPT');
    expect(() => make().restore(bytes.subarray(0, 3), good, SHAPE)).toThrow('E_CORRUPT');
    expect(() => make().restore(Buffer.from([1, 97, 255, 255, 255, 255]), good, SHAPE)).toThrow('E_CORRUPT');
    const fresh = make();
    expect(() => fresh.restore(Buffer.from([77, 97, 0, 0, 0, 0]), good, SHAPE)).toThrow('E_CORRUPT');
    expect(fresh.size).toBe(0);
    fresh.restore(bytes, good, SHAPE);
    expect(() => fresh.restore(bytes, good, SHAPE)).toThrow('E_ASSERT');
    expect(() => make().restore(bytes, good, { kind: 'window', cells: [] })).toThrow('E_STATE_SHAPE');
    expect(() => make().fire()).toThrow('E_ASSERT');
  });
});
