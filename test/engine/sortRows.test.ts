// sortBackwards: the same order as comparing, whatever the keys have in common.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sortBackwards } from '../../engine/sortRows.ts';
import { compareLookups, type LookupKey, lookupKey } from '../../engine/storeKey.ts';

const tails = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 5 }),
  fc.constantFrom('', '\0', 'a', 'a\0', 'aaaaaaab', 'aaaaaaac', 'ÿ', 'Ā', '\ud800', '\uffff'),
  fc.integer({ min: 0, max: 999_999 }).map((n) => String(n).padStart(8, '0')),
);

function expectSorted(keys: readonly LookupKey[]): void {
  const compare = (a: number, b: number) => compareLookups(keys[a] as LookupKey, keys[b] as LookupKey) || a - b;
  const rows = keys.map((_, i) => i);
  const expected = [...rows].sort((a, b) => compare(b, a));
  sortBackwards(rows, (row) => keys[row] as LookupKey, compare);
  expect(rows).toStrictEqual(expected);
}

describe('sortBackwards', () => {
  it('sorts many text keys as comparing them would', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 6 }), fc.array(tails, { minLength: 64, maxLength: 120, size: 'max' }), (common, ends) => {
        expectSorted(ends.map((end) => lookupKey(common + end)));
      }),
      { numRuns: 300 },
    );
  });

  it('sorts text before bytes and objects, all of which are looked up as text', () => {
    const texts = fc.oneof(tails, fc.uint8Array({ maxLength: 2 }), fc.record({ x: fc.integer() }), fc.constant('\0j'));
    fc.assert(
      fc.property(fc.array(texts, { minLength: 64, maxLength: 100, size: 'max' }), (keys) => {
        expectSorted(keys.map(lookupKey));
      }),
      { numRuns: 100 },
    );
  });

  it('sorts keys of mixed types, few and many', () => {
    const mixed = fc.oneof(tails, fc.integer(), fc.boolean(), fc.bigInt(), fc.uint8Array({ maxLength: 2 }), fc.record({ x: fc.integer() }));
    fc.assert(
      fc.property(fc.array(mixed, { maxLength: 150, size: 'max' }), (keys) => {
        expectSorted(keys.map(lookupKey));
      }),
      { numRuns: 200 },
    );
  });
});
