// The key-value store alone: what may be kept, what is frozen, what damaged bytes say.
import { deepStrictEqual } from 'node:assert/strict';
import { describe, expect, it } from 'vitest';
import { msgpack } from '../../codecs/msgpack.ts';
import { keyValueStore } from '../../engine/keyValueStore.ts';
import type { StoreShape } from '../../engine/stores.ts';
import { UndoLog } from '../../engine/undo.ts';

const SHAPE: StoreShape = { kind: 'keyValue', cells: [] };
const make = (freeze = false) => keyValueStore<unknown, unknown>(new UndoLog(), { name: 'latest', codec: msgpack(), freeze });

describe('keyValueStore', () => {
  it('keeps what JSON would lose, through a cut and back', () => {
    const store = make();
    const values: unknown[] = [
      -0,
      NaN,
      2n ** 90n,
      new Date(5),
      null,
      '',
      false,
      new Uint8Array([1, 2]),
      { a: undefined, ['__proto__x']: [1n] },
      JSON.parse('{"__proto__":{"x":1}}'),
    ];
    values.forEach((value, i) => store.set(i, value));
    const again = make();
    store.cut((key, value) => again.restore(Buffer.from(key), Buffer.from(value as Uint8Array), SHAPE));
    values.forEach((value, i) => deepStrictEqual(again.get(i), value));
    expect(again.size).toBe(values.length);
    again.cut(() => expect.unreachable('what was read is not to be written'));
  });

  const circular: unknown[] = [];
  circular.push({ circular });
  it.each<[string, unknown, string]>([
    ['undefined', undefined, 'latest is undefined'],
    ['a function', { a: [() => 1] }, 'latest.a[0] is a function'],
    ['a symbol', Symbol('s'), 'latest is a symbol'],
    ['a promise', { p: Promise.resolve() }, 'latest.p is a Promise'],
    ['a map', [new Map()], 'latest[0] is a Map'],
    ['a class instance', new (class Reading {})(), 'latest is a Reading'],
    ['floats', { f: new Float64Array(1) }, 'latest.f is a Float64Array'],
    ['a circle', circular, 'contains itself'],
  ])('refuses %s when it is set, for at the commit nobody could be blamed', (_, value, message) => {
    const store = make();
    store.set('k', 1);
    expect(() => store.set('k', value)).toThrow(expect.objectContaining({ code: 'E_RESULT', message: expect.stringContaining(message) }));
    expect(store.get('k')).toBe(1);
  });

  it('refuses keys that cannot be, also when asking', () => {
    const store = make();
    expect(() => store.set(null, 1)).toThrow('E_NULL_KEY');
    expect(() => store.get(undefined)).toThrow('E_NULL_KEY');
    expect(() => store.set('\udc00', 1)).toThrow('E_RESULT');
    expect(() => store.delete(NaN)).toThrow('E_RESULT');
    expect(store.size).toBe(0);
  });

  it('freezes what is set and what is read back, when asked to', () => {
    const store = make(true);
    const value = { list: [{ n: 1 }], bytes: new Uint8Array(1) };
    store.set('k', value);
    expect(() => (value.list[0] as { n: number }).n++).toThrow(TypeError);
    const again = make(true);
    store.cut((key, bytes) => again.restore(key, bytes as Uint8Array, SHAPE));
    expect(() => (again.get('k') as typeof value).list.push({ n: 2 })).toThrow(TypeError);
    const loose = make();
    const free = { n: 1 };
    loose.set('k', free);
    free.n++;
    expect(Object.isFrozen(free)).toBe(false);
  });

  it('hands out keys nobody can change it by', () => {
    const store = make();
    const key = { x: 1 };
    store.set(key, 'one');
    key.x = 2;
    expect(store.get({ x: 1 })).toBe('one');
    const [found] = [...store.entries()][0] as [{ x: number }, unknown];
    found.x = 3;
    expect([store.get({ x: 1 }), store.get({ x: 3 })]).toStrictEqual(['one', undefined]);
  });

  it('writes nothing for a primitive set again and for what came and went', () => {
    const store = make();
    store.set('a', 1);
    store.cut(() => {});
    store.committed();
    store.set('a', 1);
    store.set('b', 2);
    store.delete('b');
    store.delete('never');
    store.cut(() => expect.unreachable('nothing changed'));
    store.committed();
    store.set('a', -0);
    store.cut(() => {});
    store.committed();
    store.set('a', 0);
    const written: unknown[] = [];
    store.cut((_, value) => written.push(value));
    expect(written).toHaveLength(1);
  });

  it('names store and key when its codec refuses a value', () => {
    const refusing = keyValueStore<string, string>(new UndoLog(), {
      name: 'latest',
      codec: {
        contentType: 'x',
        decode: String,
        encode: () => {
          throw new Error('not that');
        },
      },
    });
    refusing.set('k', 'v');
    expect(() => refusing.cut(() => {})).toThrow("E_RESULT: store 'latest': the value of key k cannot be written: not that");
  });

  it('says what is wrong with rows that are not its own', () => {
    const store = make();
    const key = Buffer.from([1, 97]);
    expect(() => store.restore(key, Buffer.from([9, 1]), SHAPE)).toThrow('E_CORRUPT');
    expect(() => store.restore(key, Buffer.from([]), SHAPE)).toThrow('E_CORRUPT');
    expect(() => store.restore(key, Buffer.from([1, 1]), { kind: 'window', cells: [] })).toThrow('E_STATE_SHAPE');
    store.restore(key, Buffer.from([1, 1]), SHAPE);
    expect(() => store.restore(key, Buffer.from([1, 1]), SHAPE)).toThrow('E_ASSERT');
    expect(() => store.fire()).toThrow('E_ASSERT');
    expect(() => store.dropDue()).toThrow('E_ASSERT');
  });
});
